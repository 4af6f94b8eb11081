// The directory of a CA, and the time there: nothing is signed, nothing counts.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { systemClock } from '@reverse-proxy/shared/clock'
import { readCaRoots } from '../../certificates/acme-client/operator-files.ts'
import { ACME_LIMITS } from '../../certificates/acme-client/time-limits.ts'
import { AcmeTransport } from '../../certificates/acme-client/transport.ts'
import { isRecord } from '@reverse-proxy/shared/json'
import { withTimers } from '../../os/waitable-clock.ts'
import type { CaDirectory } from './probes.ts'

/** Throws AcmeError, or ProxyError CONFIG, with a hint. */
export async function readCaDirectory(settings: AcmeSettings): Promise<CaDirectory> {
  const { directoryUrl } = settings
  let dateMs: number | undefined
  const transport = new AcmeTransport({
    directoryUrl,
    externalAccount: undefined,
    caPem: await readCaRoots(settings),
    clock: { ...withTimers(systemClock), heard: (heardMs) => (dateMs = heardMs) },
    limits: ACME_LIMITS,
    tries: 1,
    signal: AbortSignal.timeout(ACME_LIMITS.requestMs * 2),
  })
  try {
    await transport.urlOf('newOrder')
    const { data } = await transport.get('cannot read the directory', directoryUrl)
    const meta = isRecord(data) ? data['meta'] : undefined
    return { meta: isRecord(meta) ? meta : {}, dateMs }
  } finally {
    transport.close()
  }
}
