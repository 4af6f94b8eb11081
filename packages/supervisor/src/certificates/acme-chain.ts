// Which of the chains that a CA offers for one certificate is taken: RFC 8555 7.4.2.
import type { AcmeReply } from './acme-answer.ts'
import { AcmeError } from './acme-problem.ts'
import type { Inspection } from './inspect.ts'
import { rootNameOf } from './inspect.ts'

/** CAs offer two or three. */
const MOST_ALTERNATES = 5

export interface ChainRequest {
  readonly url: string
  /** Common name of the root that the chain should lead to. */
  readonly preferred: string | undefined
  readonly fetch: (url: string) => Promise<AcmeReply>
  readonly inspect: (certPem: string) => Promise<Inspection>
}

/** The preferred chain if the CA offers it and it is sound, else the one the CA gives by itself. */
export async function downloadChain({ url, preferred, fetch, inspect }: ChainRequest): Promise<Inspection> {
  const reply = await fetch(url)
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

function leadsTo(root: string, inspection: Inspection): boolean {
  return inspection.ok && rootNameOf(inspection.certPem) === root
}
