// Reads the host and path of a request from its target and the Host header. Pure.
// Decides which spellings are valid; the router decides which hosts are served.
import { ProxyError } from '@reverse-proxy/shared/errors'

export interface Authority {
  /** Lower case, no port, no trailing dot; an IPv6 literal in its brackets. */
  readonly host: string
  /** '' if there is none. */
  readonly port: string
}

// RFC 3986 3.2.2, without percent-encodings and sub-delims, which no certificate can name. An underscore is allowed; the
// router then finds no site of that name.
const AUTHORITY = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?$/
const ABSOLUTE_FORM = /^(https?):\/\/([^/?#]*)(.*)$/i
// The characters of a path and a query: no control byte, no space, no fragment, and nothing beyond ASCII, which RFC 3986
// 2 requires to be encoded.
const VISIBLE = /^[\u0021\u0022\u0024-\u007e]+$/
const MAX_PORT = 65_535

/** The requests of a connection, and most others, are for the same host. */
let newest: { readonly text: string | undefined; readonly authority: Authority } = {
  text: undefined,
  authority: { host: '', port: '' },
}

/**
 * The value of a Host header or an `:authority`.
 * @throws ProxyError BAD_HOST, also for userinfo and for an empty value
 */
export function parseAuthority(text: string): Authority {
  if (text === newest.text) return newest.authority
  const match = AUTHORITY.exec(text.toLowerCase())
  const [, name = '', port = ''] = match ?? []
  // The root of the name space alone is no host.
  if (name === '' || name === '.') throw new ProxyError('BAD_HOST', 'malformed host')
  if (Number(port) > MAX_PORT) throw new ProxyError('BAD_HOST', 'port out of range')
  const authority = { host: name.endsWith('.') ? name.slice(0, -1) : name, port }
  newest = { text, authority }
  return authority
}

/**
 * Returns path and query for the upstream, byte for byte as the client sent them. `target` is in origin-form or, as RFC
 * 9112 3.2.2 requires every server to accept, in absolute-form.
 * @throws ProxyError BAD_TARGET; BAD_HOST if an absolute-form names another authority than Host
 */
export function parseTarget(target: string, authority: Authority): string {
  if (!VISIBLE.test(target))
    throw new ProxyError('BAD_TARGET', 'control byte, space, fragment or byte beyond ASCII in the target')
  if (target.startsWith('/')) return target
  const match = ABSOLUTE_FORM.exec(target)
  if (match === null) throw new ProxyError('BAD_TARGET', 'neither origin-form nor absolute-form')
  const [, scheme = '', named = '', rest = ''] = match
  if (!isSameAuthority(parseAuthority(named), authority, scheme.toLowerCase())) {
    throw new ProxyError('BAD_HOST', 'absolute-form and Host differ')
  }
  return rest.startsWith('/') ? rest : `/${rest}`
}

function isSameAuthority(a: Authority, b: Authority, scheme: string): boolean {
  const defaultPort = scheme === 'https' ? '443' : '80'
  return a.host === b.host && (a.port || defaultPort) === (b.port || defaultPort)
}
