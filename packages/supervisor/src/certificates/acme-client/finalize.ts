// The end of an order, from `ready` to a certificate that has been checked: RFC 8555 7.4. The order is recorded
// before it is finalized. One unexpected response does not end it: the state of the order at the CA decides.
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { AcmeResponse } from './transport/response.ts'
import type { OrderRecord, OrderRequest } from './order-request.ts'
import type { Pausing, PolledState } from './polling.ts'
import { pauseAfter, poll, retryRead, RETRY_AFTER_CEILING_MS, stateOf, readUntilThere } from './polling.ts'
import { AcmeError, describeProblem, parseProblem } from './transport/problem.ts'
import type { AcmeTransport, PostOptions } from './transport/transport.ts'
import type { StoredCertificate } from '../certificate.ts'
import { certificateBlocks, rootNameOf } from '../crypto/inspect.ts'
import type { IssuedInspection } from '../crypto/issued-chain.ts'

/** Times that finalize is sent again to an order that still is `ready`. */
const REPEATS = 3
/** Attempts to resume an order that may fail at the CA: then a new one is placed. */
const RESUMES = 2
const SERVER_ERROR = 500
/** Statuses below 500 that say nothing about the request: RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4. */
const PASSING: readonly number[] = [408, 425, 429]

type Post = (
  doing: string,
  url: string,
  payload: object | null,
  options?: PostOptions,
) => Promise<AcmeResponse>

export interface OrderEnding {
  readonly request: OrderRequest
  readonly transport: AcmeTransport
  readonly post: Post
}

/** Records the order, finalizes it and fetches the certificate. Throws AcmeError. */
export async function finishOrder(
  ending: OrderEnding,
  opened: Omit<OrderRecord, 'csr' | 'keyPem' | 'failures'> & { readonly finalizeUrl: unknown },
): Promise<StoredCertificate> {
  const { host, settings, signal, progress, orders } = ending.request
  const { finalizeUrl, ...order } = opened
  progress('finalizing')
  assertNotInvalid(ending, await pollOrder(ending, order.orderUrl, (status) => status !== 'pending'))

  const { names } = order
  const keyPem = await host.jobs.run('generateKey', settings.keyType, signal)
  const csr = await host.jobs.run('createCsr', { names, keyPem }, signal)
  const record: OrderRecord = { ...order, keyPem, csr, failures: 0 }
  await ending.request.mayOrder()
  try {
    await orders.save(record)
  } catch (error) {
    // Only a restart needs the record: go on without it.
    progress('finalizing', `not recorded: ${messageOf(error)}`)
  }
  try {
    await sendFinalize(ending, record, finalizeUrl)
    return await fetchCertificate(ending, record)
  } catch (error) {
    if (error instanceof AcmeError && isFinalRejection(error)) await orders.clear()
    throw error
  }
}

/**
 * The certificate of an order that was recorded; undefined, and no longer recorded, if the CA will not issue it any
 * more. Throws AcmeError where that is not known; the record stays then.
 */
export async function resumeOrder(
  ending: OrderEnding,
  record: OrderRecord,
): Promise<StoredCertificate | undefined> {
  const { request, post } = ending
  const { orders, progress } = request
  try {
    progress('finalizing', 'the order of an earlier attempt')
    const look = async (): Promise<AcmeResponse> => await post('cannot read the order', record.orderUrl, null)
    const state = stateOf((await retryRead(look, pausing(request))).data)
    if (state?.status === 'ready') {
      await sendFinalize(ending, record, state.resource['finalize'])
    } else if (state?.status !== 'processing' && state?.status !== 'valid') {
      await orders.clear()
      return undefined
    }
    return await fetchCertificate(ending, record)
  } catch (error) {
    if (!(error instanceof AcmeError)) throw error
    const failures = record.failures + (error.reachedCa ? 1 : 0)
    // A CA that only fails at this order must not block the next one.
    if (isFinalRejection(error) || error.isIssued || failures >= RESUMES) {
      await orders.clear()
      progress('order', `the earlier order is given up: ${error.message}`)
      return undefined
    }
    if (failures > record.failures) await orders.save({ ...record, failures })
    throw error
  }
}

/** Resolves once the CA works on the order. Reads the order after an error: the request may have arrived. */
async function sendFinalize(ending: OrderEnding, record: OrderRecord, finalizeUrl: unknown): Promise<void> {
  const { transport, post, request } = ending
  const { mayOrder } = request
  if (typeof finalizeUrl !== 'string') throw transport.error('the CA sends an order that cannot be read')
  const look = async (): Promise<AcmeResponse> => await post('cannot read the order', record.orderUrl, null)
  for (let repeats = 0; ; repeats++) {
    try {
      // Sent once: the order shows whether it arrived.
      await post('the request is refused', finalizeUrl, { csr: record.csr }, { before: mayOrder, tries: 1 })
      return
    } catch (error) {
      const isLongWait = error instanceof AcmeError && (error.retryAfterMs ?? 0) > RETRY_AFTER_CEILING_MS
      if (!(error instanceof AcmeError) || isLongWait) throw error
      const status = await statusAfter(error, look, pausing(request))
      if (status === 'processing' || status === 'valid' || status === 'invalid') return
      if (repeats === REPEATS || isFinalRejection(error)) throw error
      await pauseAfter(error, repeats, pausing(request))
    }
  }
}

/** Throws `error`, the cause of the look, where the order cannot be read either. */
async function statusAfter(
  error: AcmeError,
  look: () => Promise<AcmeResponse>,
  pauses: Pausing,
): Promise<string | undefined> {
  try {
    return stateOf((await retryRead(look, pauses)).data)?.status
  } catch {
    pauses.signal.throwIfAborted()
    throw error
  }
}

/** A refusal that would be the same a second time. */
function isFinalRejection({ responseStatus, failedNames }: AcmeError): boolean {
  if (failedNames.length > 0) return true
  return responseStatus !== undefined && responseStatus < SERVER_ERROR && !PASSING.includes(responseStatus)
}

async function fetchCertificate(ending: OrderEnding, record: OrderRecord): Promise<StoredCertificate> {
  const { transport, post, request } = ending
  const { settings, host, signal, progress, predecessor, orders } = request
  const { orderUrl, names, keyPem, accountUrl } = record
  const order = assertNotInvalid(ending, await pollOrder(ending, orderUrl, isFinished))
  const certificateUrl = order['certificate']
  if (typeof certificateUrl !== 'string') throw transport.error('the CA sends an order without certificate')

  progress('downloading')
  const knownPem = predecessor?.certPem
  let caNowMs: number | undefined
  const inspection = await downloadChain({
    url: certificateUrl,
    preferred: settings.preferredChain,
    fetch: async (url) => {
      const response = await post('cannot download the certificate', url, null)
      caNowMs = response.dateMs
      return response
    },
    inspect: async (certPem) =>
      await host.jobs.run(
        'inspectIssuedChain',
        { certPem, keyPem, names, knownPem, nowMs: host.clock.nowMs(), caNowMs },
        signal,
      ),
    ...pausing(request),
  })
  if (!inspection.ok) {
    await orders.clear()
    throw transport.error(`the CA's certificate is not used: ${inspection.reason}`, { isIssued: true })
  }
  const { certPem, facts, warning } = inspection
  if (warning !== undefined) request.warn(warning)
  return {
    certPem,
    keyPem,
    facts,
    origin: settings.directoryUrl,
    accountUrl,
    obtainedMs: host.clock.nowMs(),
  }
}

async function pollOrder(
  { post, request }: OrderEnding,
  orderUrl: string,
  isFinal: (status: string) => boolean,
): Promise<PolledState | undefined> {
  const { limits } = request
  const look = async (): Promise<AcmeResponse> => await post('cannot read the order', orderUrl, null)
  return await poll({ limitMs: limits.finalizationMs, look, isFinal, ...pausing(request) })
}

function pausing({ host, signal }: OrderRequest): Pausing {
  return { clock: host.clock, signal }
}

/** The order. Throws the CA's error if it has failed. */
function assertNotInvalid(
  { transport }: OrderEnding,
  state: PolledState | undefined,
): Readonly<Record<string, unknown>> {
  if (state === undefined) throw transport.error('the CA does not finish the order')
  if (state.status !== 'invalid') return state.resource
  const document = state.resource['error']
  const problem = parseProblem(document)
  throw transport.error(
    `the CA ends the order: ${problem === undefined ? 'no reason given' : describeProblem(problem)}`,
    { document },
  )
}

/** Some CAs still answer `ready` for a while after finalization. */
function isFinished(status: string): boolean {
  return status === 'valid' || status === 'invalid'
}

/** CAs offer two or three. */
const MOST_ALTERNATES = 5

const NO_CERTIFICATE = "cannot download the certificate: the CA's response holds no PEM certificate"

interface ChainRequest extends Pausing {
  readonly url: string
  /** Common name of the root that the chain should lead to. */
  readonly preferred: string | undefined
  readonly fetch: (url: string) => Promise<AcmeResponse>
  readonly inspect: (certPem: string) => Promise<IssuedInspection>
}

/** The preferred chain if the CA offers it and it passes inspection, else the CA's default. */
async function downloadChain(request: ChainRequest): Promise<IssuedInspection> {
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
      // A chain that cannot be downloaded counts as not offered.
      if (!(error instanceof AcmeError)) throw error
    }
  }
  return byDefault
}

function leadsTo(root: string, inspection: IssuedInspection): boolean {
  return inspection.ok && rootNameOf(inspection.certPem) === root
}
