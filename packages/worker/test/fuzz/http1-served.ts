// The odd things that a client over HTTP/1 may do, and be served.
import { frame, inChunks, type Http1Draft } from './http1-draft.ts'
import type { Mutation } from './fate.ts'

type Change = (draft: Http1Draft) => boolean | void

const HTTP1_SERVED: Readonly<Record<string, Change>> = {
  'mixed-case names': (draft) => {
    const mixed = (line: string): string => line.replace(/^[^:]+/u, (name) => draft.chance.mixCase(name))
    draft.fields = draft.fields.map(mixed)
    draft.hostLines = draft.hostLines.map(mixed)
    draft.framingLines = draft.framingLines.map(mixed)
  },
  'space around values': (draft) =>
    void draft.fields.push('X-Padded: \t value \t ', 'X-Bare:value', 'X-Empty:'),
  'bytes beyond ASCII in values': (draft) => void draft.fields.push('X-Bytes: \u0080\u00e9\u00ff'),
  'several cookies': (draft) => void draft.fields.push('Cookie: a=1', 'cookie: b=2'),
  'headers named in Connection': (draft) =>
    void draft.fields.push(
      'X-Forwarded-For: 6.6.6.6',
      'X-Drop: 1',
      'Connection: X-Forwarded-For, host, x-drop',
    ),
  'forged forwarding headers': (draft) =>
    void draft.fields.push('X-Real-IP: 6.6.6.6', 'X_Forwarded_For: 6.6.6.6', 'Forwarded: for=6.6.6.6'),
  'Expect: 100-continue': (draft) => {
    if (draft.framing === 'none' || draft.version !== 'HTTP/1.1') return false
    draft.fields.push('Expect: 100-continue')
    // An answer that is ready before its turn has come to be told to go on ends the connection.
    draft.mayEnd = true
    return true
  },
  'absolute-form of the same host': (draft) => {
    draft.target = `${draft.chance.pick(['http', 'https', 'HTTP'])}://a.example${draft.path}`
    return draft.authority === 'a.example'
  },
  'Host with a port': (draft) => {
    if (draft.target !== draft.path) return false
    draft.authority = 'a.example:8443'
    draft.hostLines = ['Host: a.example:8443']
    return true
  },
  'Host in mixed case': (draft) => {
    if (draft.authority !== 'a.example') return false
    draft.authority = draft.chance.mixCase('a.example')
    draft.hostLines = [`Host: ${draft.authority}`]
    return true
  },
  'empty lines before the request': (draft) => void (draft.prefix = '\r\n'.repeat(1 + draft.chance.below(3))),
  'a length with leading zeros': (draft) => {
    if (draft.framing !== 'length') return false
    draft.framingLines = [`Content-Length: 00${draft.body.length}`]
    return true
  },
  'a length of zero': (draft) => {
    draft.framing = 'length'
    frame(draft, '')
  },
  'no chunk but the last': (draft) => {
    if (draft.version !== 'HTTP/1.1') return false
    draft.framing = 'chunked'
    frame(draft, '')
    return true
  },
  'Upgrade: h2c': (draft) => {
    draft.fields.push('Upgrade: h2c', 'HTTP2-Settings: AAMAAABk', 'Connection: Upgrade, HTTP2-Settings')
    draft.isLast = true
  },
  'TE and Trailer': (draft) => void draft.fields.push('TE: trailers, gzip', 'Trailer: X-A, Host'),
  'sixty headers': (draft) => void draft.fields.push(...Array.from({ length: 60 }, (_, i) => `X-${i}: v`)),
  'a header of 8 KiB': (draft) => void draft.fields.push(`X-Long: ${'v'.repeat(8192)}`),
  'a path that others tidy up': (draft) => {
    const more = '//../%2F/.%00?q=a%20b&r=//@:;=?'
    draft.path += more
    draft.target += more
  },
  'chunk extensions': (draft) => rechunk(draft, ';a=b;c;d="e;f"', ''),
  trailers: (draft) => rechunk(draft, '', 'Host: b.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-A: b\r\n'),
  'chunk sizes spelled oddly': (draft) => {
    if (draft.framing !== 'chunked' || draft.body === '') return false
    const size = draft.body.length.toString(16)
    draft.wireBody = `000${draft.chance.mixCase(size)}\r\n${draft.body}\r\n000\r\n\r\n`
    return true
  },
  'chunks of one byte': (draft) => {
    if (draft.framing !== 'chunked') return false
    draft.wireBody = inChunks(draft.body.split(''))
    return true
  },
  'HTTP/1.0': (draft) => {
    if (draft.framing === 'chunked' || draft.fields.some((line) => line.startsWith('Expect'))) return false
    draft.version = 'HTTP/1.0'
    draft.isLast = true
    return true
  },
  'Connection: close': (draft) => {
    draft.fields.push('Connection: close')
    draft.isLast = true
  },
  'garbage behind the body': (draft) => {
    if (draft.framing === 'none') return false
    draft.suffix = '\u0001zz'
    draft.isLast = true
    return true
  },
  'a method that nobody knows': (draft) => {
    draft.method = draft.chance.pick(['LIST', 'VERSION-CONTROL', 'get', "a!#$%&'*+-.^_`|~9"])
  },
  // RFC 9110 2.5: read as the highest that is known.
  'a higher minor version': (draft) => {
    if (draft.version !== 'HTTP/1.1') return false
    draft.version = draft.chance.pick(['HTTP/1.2', 'HTTP/1.9'])
    return true
  },
  // RFC 9112 3: a recipient may take several for one.
  'two spaces in the request line': (draft) => {
    if (draft.target !== draft.path) return false
    draft.target = ` ${draft.target}`
    return true
  },
}

function rechunk(draft: Http1Draft, extension: string, trailers: string): boolean {
  if (draft.framing !== 'chunked') return false
  draft.wireBody = inChunks(draft.chance.pieces(draft.body, 60), extension, trailers)
  return true
}

export const SERVED: readonly Mutation<Http1Draft>[] = Object.entries(HTTP1_SERVED).map(([name, apply]) => ({
  name,
  fate: 'served',
  apply,
}))
