// Takes a URL apart as a client does that sends it byte for byte (`curl --path-as-is`): the path keeps its dot segments and
// encodings, because those decide what a request gets. Pure.
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseAuthority } from '../message/target.ts'

export interface ExplainedUrl {
  readonly scheme: 'http' | 'https'
  /** Lower case. */
  readonly host: string
  readonly port: number
  /** As Host names it. */
  readonly authority: string
  /** Path and query. */
  readonly target: string
}

const URL = /^(https?):\/\/([^/?#]*)([^#]*)/i
const DEFAULT_PORTS = { http: 80, https: 443 } as const

/** @throws ProxyError CONFIG with a hint */
export function parseExplainedUrl(text: string): ExplainedUrl {
  const [, schemeText = '', authority = '', rest = ''] = URL.exec(text) ?? []
  if (schemeText === '')
    throw new ProxyError('CONFIG', `${text} is not an absolute URL`, { hint: 'write https://HOST/PATH' })
  const scheme = schemeText.toLowerCase() === 'http' ? 'http' : 'https'
  try {
    const { host, port } = parseAuthority(authority)
    const target = rest.startsWith('/') ? rest : `/${rest}`
    return { scheme, host, authority, target, port: port === '' ? DEFAULT_PORTS[scheme] : Number(port) }
  } catch (cause) {
    throw new ProxyError('CONFIG', `"${authority}" in the URL is not a host`, {
      cause,
      hint: 'write a name or an address, and a port if it is not the default: https://example.com:8443/',
    })
  }
}
