// Names of header fields in lower case, and whether they are valid. Nearly all names are known, and a look-up is faster
// than a conversion. The table never grows, so that clients cannot fill the memory.
import { isToken } from '@reverse-proxy/shared/http-token'

const KNOWN_NAMES =
  'Accept Accept-CH Accept-Encoding Accept-Language Accept-Ranges Access-Control-Allow-Credentials ' +
  'Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin ' +
  'Access-Control-Expose-Headers Access-Control-Max-Age Access-Control-Request-Headers ' +
  'Access-Control-Request-Method Age Allow Alt-Svc Authorization Cache-Control Connection Content-Disposition ' +
  'Content-Encoding Content-Language Content-Length Content-Location Content-Range Content-Security-Policy ' +
  'Content-Type Cookie Cross-Origin-Embedder-Policy Cross-Origin-Opener-Policy Cross-Origin-Resource-Policy ' +
  'Date DNT ETag Expect Expires Forwarded From Host HTTP2-Settings If-Match If-Modified-Since If-None-Match ' +
  'If-Range If-Unmodified-Since Keep-Alive Last-Modified Link Location Max-Forwards Origin Permissions-Policy ' +
  'Pragma Priority Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Referer Referrer-Policy ' +
  'Retry-After Sec-CH-UA Sec-CH-UA-Mobile Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site ' +
  'Sec-Fetch-User Sec-GPC Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key ' +
  'Sec-WebSocket-Protocol Sec-WebSocket-Version Server Server-Timing Set-Cookie Strict-Transport-Security TE ' +
  'Timing-Allow-Origin Trailer Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Vary Via ' +
  'WWW-Authenticate X-Content-Type-Options X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Frame-Options ' +
  'X-Powered-By X-Real-IP X-Request-Id X-Requested-With X-XSS-Protection'

const LOWER_CASE: ReadonlyMap<string, string> = new Map(
  KNOWN_NAMES.split(' ').flatMap((name) => {
    const lowerName = name.toLowerCase()
    return [
      [name, lowerName],
      [lowerName, lowerName],
    ]
  }),
)

export function lowerFieldName(name: string): string {
  return LOWER_CASE.get(name) ?? name.toLowerCase()
}

/** RFC 9110 5.1: a field name is a token. */
export function isFieldName(name: string): boolean {
  return LOWER_CASE.has(name) || isToken(name)
}
