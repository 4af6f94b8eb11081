// Connections to a CA: which roots are trusted, and through which proxy they go. Roots are the bundled ones, the
// system's and those of tls.acme_ca_file; the proxy is the environment's (HTTPS_PROXY, NO_PROXY), as curl reads it.
// A CA whose name cannot be resolved delays no other: the system's own look-ups share two threads.
import { Agent } from 'node:https'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import type { SecureContext } from 'node:tls'
import { createSecureContext, getCACertificates } from 'node:tls'
import { ProxyError } from '@reverse-proxy/shared/errors'

/** For all CAs: what one look-up finds serves the next connection. */
const caNames = new NameResolver()

/** `caPem`: roots to trust as well. Throws where it cannot be read, and CONFIG for a proxy that cannot be used. */
export function createCaAgent(
  caPem: string | undefined,
  names: Pick<NameResolver, 'lookup'> = caNames,
): Agent {
  return new Agent({
    keepAlive: true,
    lookup: names.lookup,
    secureContext: contextFor(caPem),
    proxyEnv: proxyEnvironment(process.env),
  })
}

/** CAs are asked over HTTPS alone: HTTP_PROXY does not count. Throws CONFIG. */
function proxyEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy']
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name]
      if (!value) return []
      return [[name, name.toLowerCase() === 'https_proxy' ? proxyUrl(name, value) : value]]
    }),
  )
}

/** As curl does, `host:port` is taken for a plain HTTP proxy. The runtime would go without one, and say nothing. */
function proxyUrl(name: string, value: string): string {
  const url = URL.parse(value.includes('://') ? value : `http://${value}`)
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url.href
  throw new ProxyError('CONFIG', `${name} of the environment names no proxy that can be used`, {
    hint: 'it must be host:port, or a URL that begins with http:// or https://',
  })
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
