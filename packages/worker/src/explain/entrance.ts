// The way of an explained request to the pipeline: which listener it reaches, whether its connection is accepted, and
// which certificate it sees. Pure.
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import type { WorkerListener } from '@reverse-proxy/shared/ipc/messages'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import { Router } from '../pipeline/router.ts'
import type { ExplainedUrl } from './explained-url.ts'
import type { ExplainedCertificate, ExplainedProxy, Step } from './explanation.ts'

const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** Adds its step. */
export function findListener(
  { scheme, host, port }: ExplainedUrl,
  listeners: readonly WorkerListener[],
  steps: Step[],
): WorkerListener | undefined {
  const portOf = (each: WorkerListener): number => (scheme === 'https' ? each.httpsPort : each.httpPort)
  const address = addressOf(host)
  const reached = listeners.filter(
    (each) =>
      portOf(each) === port &&
      (address === undefined ||
        each.bindAddrs.some((bound) => bound === address || EVERY_ADDRESS.has(bound))),
  )
  const serving = reached.filter(({ sites }) => sitesByHost(sites).lookup(host) !== undefined)
  const listener = serving[0] ?? reached[0]
  if (listener === undefined) {
    const others = listeners
      .filter((each) => portOf(each) !== 0)
      .map((each) => `${each.bindAddrs.join(' ')} port ${portOf(each)}`)
    const where = others.length === 0 ? 'nowhere' : others.join(', ')
    const why = `nothing listens there on port ${port} for ${scheme}; it does on: ${where}`
    steps.push({ step: 'listener', passes: false, why })
    return undefined
  }
  const more = serving.length - 1
  const also = more > 0 ? `; ${more} more of this port serve the host, on other addresses` : ''
  steps.push({ step: 'listener', passes: true, why: `${listener.bindAddrs.join(' ')} port ${port}${also}` })
  return listener
}

/** Whether the connection is accepted. Adds its step. */
export function isAccepted(
  from: string,
  { clients }: WorkerListener,
  proxies: TrustedProxies | undefined,
  isBanned: ExplainedProxy['isBanned'],
  steps: Step[],
): boolean {
  const named = clients?.proxyProtocol === true ? `${from}, as the PROXY protocol names it` : from
  const isProxy = proxies?.has(from) === true
  if (!isProxy && isBanned?.(from) === true) {
    steps.push({ step: 'connection', passes: false, why: `${named}, is banned: closed at once` })
    return false
  }
  const trust = isProxy ? ', a trusted proxy' : ''
  const unknown = isBanned === undefined ? '; only the running proxy knows whether it is banned' : ''
  steps.push({ step: 'connection', passes: true, why: `from ${named}${trust}${unknown}` })
  return true
}

/** Adds its step. */
export function findCertificate(
  { host }: ExplainedUrl,
  { id }: WorkerListener,
  certificates: readonly ExplainedCertificate[],
  steps: Step[],
): ExplainedCertificate | undefined {
  const own = certificates.filter(({ listener }) => listener === id)
  // Clients name no address in the handshake (RFC 6066 3).
  const found = addressOf(host) === undefined ? byName(own).lookup(host) : undefined
  const names = own.flatMap((each) => each.names).join(' ')
  const missing =
    own.length === 0
      ? 'the listener has no certificate: the handshake is refused'
      : `none for ${host}, the names are ${names}: the handshake is refused`
  steps.push({ step: 'certificate', passes: found !== undefined, why: found?.description ?? missing })
  return found
}

export function byName(certificates: readonly ExplainedCertificate[]): Router<ExplainedCertificate> {
  return new Router(certificates.flatMap((each) => each.names.map((name) => [name, each] as const)))
}

function sitesByHost(sites: WorkerListener['sites']): Router<string> {
  return new Router(sites.flatMap(({ hosts }) => hosts.map((host) => [host, host] as const)))
}

function addressOf(host: string): string | undefined {
  return parseIpAddress(host.replace(/^\[|\]$/gu, ''))?.text
}
