// Connections to a CA: which roots are trusted, and through which proxy they go. Roots are the bundled ones, the
// system's and those of tls.acme_ca_file; the proxy is the environment's (HTTPS_PROXY, NO_PROXY), as curl reads it.
// A CA whose name cannot be resolved delays no other: the system's own look-ups share two threads.
import { Agent } from 'node:https'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import type { SecureContext } from 'node:tls'
import { checkServerIdentity, createSecureContext, getCACertificates } from 'node:tls'

export interface PeerValidity {
  readonly fromMs: number
  readonly untilMs: number
}

/** For all CAs: what one look-up finds serves the next connection. */
const caNames = new NameResolver()

/** `caPem`: roots to trust as well. Throws where it cannot be read. */
export function createCaAgent(
  caPem: string | undefined,
  onPeer: (validity: PeerValidity) => void,
  names: Pick<NameResolver, 'lookup'> = caNames,
): Agent {
  return new Agent({
    keepAlive: true,
    lookup: names.lookup,
    secureContext: contextFor(caPem),
    checkServerIdentity: (host, peer) => {
      onPeer({ fromMs: Date.parse(peer.valid_from), untilMs: Date.parse(peer.valid_to) })
      return checkServerIdentity(host, peer)
    },
    proxyEnv: proxyEnvironment(process.env),
  })
}

/** For CAs are asked over HTTPS alone: what is said of plain HTTP does not count. */
function proxyEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy']
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
}

let last: { readonly caPem: string | undefined; readonly context: SecureContext } | undefined

/** Hundreds of roots take tens of milliseconds to parse: those of the last time are used again. */
function contextFor(caPem: string | undefined): SecureContext {
  if (last === undefined || last.caPem !== caPem) {
    const roots = new Set([...getCACertificates('bundled'), ...getCACertificates('system')])
    if (caPem !== undefined) roots.add(caPem)
    last = { caPem, context: createSecureContext({ ca: [...roots] }) }
  }
  return last.context
}
