// Which of the chains that a CA offers for one certificate is taken: RFC 8555 7.4.2.
import type { AcmeReply } from './response.ts'
import type { Pausing } from './polling.ts'
import { readUntilThere } from './polling.ts'
import { AcmeError } from './problem.ts'
import { certificateBlocks, rootNameOf } from '../crypto/inspect.ts'
import type { IssuedInspection } from '../crypto/issued-chain.ts'

/** CAs offer two or three. */
const MOST_ALTERNATES = 5

const NO_CERTIFICATE = "cannot download the certificate: the CA's response holds no PEM certificate"

export interface ChainRequest extends Pausing {
  readonly url: string
  /** Common name of the root that the chain should lead to. */
  readonly preferred: string | undefined
  readonly fetch: (url: string) => Promise<AcmeReply>
  readonly inspect: (certPem: string) => Promise<IssuedInspection>
}

/** The preferred chain if the CA offers it and it is sound, else the one the CA gives by itself. */
export async function downloadChain(request: ChainRequest): Promise<IssuedInspection> {
  const { url, preferred, fetch, inspect } = request
  // A CA with several servers may not have it everywhere at once: 404, 202 and an empty body mean "not yet" there.
  const reply = await readUntilThere(async () => {
    const got = await fetch(url)
    if (certificateBlocks(String(got.data)).length > 0) return got
    throw new AcmeError(NO_CERTIFICATE, { reachedCa: true, retryAfterMs: got.retryAfterMs })
  }, request)
  const byDefault = await inspect(String(reply.data))
  if (preferred === undefined || leadsTo(preferred, byDefault)) return byDefault
  for (const alternateUrl of reply.alternateUrls.slice(0, MOST_ALTERNATES)) {
    try {
      const alternate = await inspect(String((await fetch(alternateUrl)).data))
      if (leadsTo(preferred, alternate)) return alternate
    } catch (error) {
      // One that cannot be had is one that the CA does not offer.
      if (!(error instanceof AcmeError)) throw error
    }
  }
  return byDefault
}

function leadsTo(root: string, inspection: IssuedInspection): boolean {
  return inspection.ok && rootNameOf(inspection.certPem) === root
}
