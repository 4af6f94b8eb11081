// Parses the URL of forward_auth. Pure.
import { parseUpstream, type UpstreamAddress } from '../upstream.ts'

export interface AuthUrl extends UpstreamAddress {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  /** Path and query, in ASCII. */
  readonly path: string
}

export interface AuthUrlFault {
  readonly message: string
  readonly hint: string
}

const DEFAULT_PORTS = { http: 80, https: 443 } as const
const SHAPE = 'write a URL such as "http://127.0.0.1:9091/api/authz/forward-auth"'

/** @returns the parts of the URL, or the fault */
export function parseAuthUrl(text: string): AuthUrl | AuthUrlFault {
  const url = URL.parse(text)
  const scheme = url?.protocol.slice(0, -1)
  if (url === null || (scheme !== 'http' && scheme !== 'https'))
    return { message: `"${text}" is not a URL of http or https`, hint: SHAPE }
  if (url.username !== '' || url.password !== '' || url.hash !== '')
    return { message: `"${text}" has a user, a password or a fragment`, hint: SHAPE }
  const address = parseUpstream(`${url.hostname}:${url.port === '' ? DEFAULT_PORTS[scheme] : url.port}`)
  if ('message' in address) return { message: `"${text}" names no host`, hint: SHAPE }
  return { ...address, scheme, authority: url.host, path: `${url.pathname}${url.search}` }
}
