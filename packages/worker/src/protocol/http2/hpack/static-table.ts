// The static table of HPACK (RFC 7541 appendix A). Pure.

/** A line for each entry, from index 1: the name, and after a space its value, if there is one. */
const ENTRIES = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`

/** Name and value; the entry of index 1 comes first. */
export const STATIC_ENTRIES: readonly (readonly [name: string, value: string])[] = ENTRIES.split('\n').map(
  (line) => {
    const space = line.indexOf(' ')
    return space === -1 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)]
  },
)

/** The index of the first entry of each name. */
export const STATIC_NAMES: ReadonlyMap<string, number> = new Map(
  STATIC_ENTRIES.map(([name], i) => [name, i + 1] as const).toReversed(),
)
