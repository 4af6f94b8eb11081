// What a client over HTTP/1 may not do: ambiguous, malformed, or cut short. And what is answered here.
import { frame, type Http1Draft } from './http1-draft.ts'
import type { Mutation } from './fate.ts'

type Change = (draft: Http1Draft) => boolean | void

/** Lines that make framing ambiguous, whatever stands beside them. */
const FRAMING_LINES: Readonly<Record<string, (length: number) => readonly string[]>> = {
  'Content-Length beside Transfer-Encoding': (n) => [`Content-Length: ${n}`, 'Transfer-Encoding: chunked'],
  'Transfer-Encoding beside Content-Length': (n) => ['Transfer-Encoding: chunked', `Content-Length: ${n}`],
  'two lengths': (n) => [`Content-Length: ${n}`, 'Content-Length: 0'],
  'one length twice': (n) => [`Content-Length: ${n}`, `content-length: ${n}`],
  'a list of lengths': (n) => [`Content-Length: ${n}, ${n}`],
  'a length with a sign': (n) => [`Content-Length: +${n}`],
  'a negative length': (n) => [`Content-Length: -${n}`],
  'a length in hexadecimal': (n) => [`Content-Length: 0x${n.toString(16)}`],
  'a length with a space in it': (n) => [`Content-Length: ${n} 0`],
  'a length with a comma': (n) => [`Content-Length: ${n},`],
  'an empty length': () => ['Content-Length:'],
  'a length beyond all numbers': () => ['Content-Length: 99999999999999999999999'],
  'a fraction for a length': (n) => [`Content-Length: ${n}.0`],
  'space before the colon of a length': (n) => [`Content-Length : ${n}`],
  'tab before the colon of a coding': () => ['Transfer-Encoding\t: chunked'],
  'a folded length': (n) => ['X-Fold: a', ` Content-Length: ${n}`],
  'a folded coding': () => ['Transfer-Encoding:', ' chunked'],
  'two codings': () => ['Transfer-Encoding: gzip, chunked'],
  'chunked not last': () => ['Transfer-Encoding: chunked, identity'],
  'chunked twice': () => ['Transfer-Encoding: chunked, chunked'],
  'chunked in two lines': () => ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
  'an unknown coding': () => ['Transfer-Encoding: xchunked'],
  identity: () => ['Transfer-Encoding: identity'],
  'an empty coding': () => ['Transfer-Encoding:'],
  'a coding with a parameter': () => ['Transfer-Encoding: chunked;q=1'],
  'a coding in quotes': () => ['Transfer-Encoding: "chunked"'],
  'a coding with a control byte': () => ['Transfer-Encoding: \u000bchunked'],
  'a coding behind a bare CR': () => ['X: a\rTransfer-Encoding: chunked'],
  'a coding behind a bare LF': () => ['X: a\nTransfer-Encoding: chunked'],
}

/** Lines that nobody may send. */
const BAD_LINES: Readonly<Record<string, readonly string[]>> = {
  'NUL in a value': ['X: a\0b'],
  'a control byte in a value': ['X: a\u0001b'],
  'DEL in a value': ['X: a\u007fb'],
  'NUL in a name': ['X\0: a'],
  'a space in a name': ['X Y: a'],
  'a name beyond ASCII': ['X\u00e9: a'],
  'a line without colon': ['nonsense'],
  'a line without name': [': a'],
  'a line that begins with a space': [' X: a'],
  'more headers than are allowed': Array.from({ length: 120 }, () => 'a:'),
  'headers beyond the parser count': Array.from({ length: 1100 }, () => 'a:'),
  'more header bytes than are allowed': [`X: ${'v'.repeat(33_000)}`],
}

const BAD_HOSTS: Readonly<Record<string, readonly string[]>> = {
  'no Host': [],
  'an empty Host': ['Host:'],
  'two Hosts': ['Host: a.example', 'Host: a.example'],
  'Host with userinfo': ['Host: u@a.example'],
  'Host with a path': ['Host: a.example/x'],
  'Host with a space': ['Host: a.example b.example'],
  'Host with a comma': ['Host: a.example, b.example'],
  'Host with a port that is none': ['Host: a.example:99999'],
}

const BAD_TARGETS: Readonly<Record<string, (path: string) => string>> = {
  'a fragment': (path) => `${path}#x`,
  'a space in the target': (path) => `${path} x`,
  'a tab in the target': (path) => `${path}\tx`,
  'a control byte in the target': (path) => `${path}\u0001`,
  'bytes beyond ASCII in the target': (path) => `${path}\u00e9`,
  'no target': () => '',
  asterisk: () => '*',
  'a target without slash': (path) => path.slice(1),
  'authority-form': () => 'a.example:443',
  'absolute-form of another host': (path) => `http://b.example${path}`,
  'absolute-form with userinfo': (path) => `http://u@a.example${path}`,
  'another scheme': (path) => `ftp://a.example${path}`,
}

const BAD_VERSIONS = [
  'HTTP/2.0',
  'HTTP/0.9',
  'HTTP/9.9',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/1.',
  'HTTP/01.1',
  '',
] as const

/** In place of a well-formed chunked body. */
const BAD_CHUNKS: Readonly<Record<string, (body: string) => string>> = {
  'a chunk size that is none': (body) => `x\r\n${body}\r\n0\r\n\r\n`,
  'a chunk size in 0x': (body) => `0x${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  'a chunk size with a sign': (body) => `+${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  'a chunk size beyond all numbers': (body) => `fffffffffffffffff\r\n${body}\r\n0\r\n\r\n`,
  'a space before the chunk size': (body) => ` ${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  'no line end after a chunk': (body) => `${body.length.toString(16)}\r\n${body}0\r\n\r\n`,
  'a bare LF after a chunk size': (body) => `${body.length.toString(16)}\n${body}\r\n0\r\n\r\n`,
  'a bare CR after a chunk': (body) => `${body.length.toString(16)}\r\n${body}\r\r0\r\n\r\n`,
  'a chunk shorter than its size': (body) => `${(body.length + 3).toString(16)}\r\n${body}\r\n0\r\n\r\n`,
  'a bare LF in an extension': (body) => `${body.length.toString(16)};a\nb\r\n${body}\r\n0\r\n\r\n`,
  'an extension without end': (body) =>
    `${body.length.toString(16)};${'x'.repeat(17_000)}\r\n${body}\r\n0\r\n\r\n`,
  'a length among the trailers': (body) =>
    `${body.length.toString(16)}\r\n${body}\r\n0\r\nContent-Length: 5\r\n\r\n`,
  'a trailer without colon': (body) => `${body.length.toString(16)}\r\n${body}\r\n0\r\nnonsense\r\n\r\n`,
}

function refusing(table: Readonly<Record<string, Change>>): Mutation<Http1Draft>[] {
  return Object.entries(table).map(([name, apply]) => ({ name, fate: 'refused', apply }))
}

function mapped<T>(table: Readonly<Record<string, T>>, change: (value: T) => Change): Mutation<Http1Draft>[] {
  return refusing(Object.fromEntries(Object.entries(table).map(([name, value]) => [name, change(value)])))
}

export const REFUSED: readonly Mutation<Http1Draft>[] = [
  ...mapped(
    FRAMING_LINES,
    (lines) => (draft) => void (draft.framingLines = [...lines(draft.wireBody.length)]),
  ),
  ...mapped(BAD_LINES, (lines) => (draft) => void draft.fields.push(...lines)),
  ...mapped(BAD_HOSTS, (lines) => (draft) => void (draft.hostLines = [...lines])),
  ...mapped(BAD_TARGETS, (target) => (draft) => void (draft.target = target(draft.path))),
  ...mapped(BAD_CHUNKS, (spell) => (draft) => {
    draft.framing = 'chunked'
    draft.body ||= 'hello'
    draft.framingLines = ['Transfer-Encoding: chunked']
    draft.wireBody = spell(draft.body)
    return draft.version === 'HTTP/1.1'
  }),
  ...refusing({
    'a version that is none': (draft) => void (draft.version = draft.chance.pick(BAD_VERSIONS)),
    'chunks from HTTP/1.0': (draft) => {
      draft.version = 'HTTP/1.0'
      draft.framing = 'chunked'
      frame(draft, draft.body)
    },
    'a method that is no token': (draft) => void (draft.method = 'G(T'),
    'a bare LF for every line end': (draft) => void (draft.lineEnd = '\n'),
    'a bare CR for every line end': (draft) => void (draft.lineEnd = '\r'),
    'CR LF CR at the end of the head': (draft) => void (draft.headEnd = '\rX'),
    CONNECT: (draft) => {
      draft.method = 'CONNECT'
      draft.target = 'a.example:443'
    },
    'a head without end': (draft) => {
      draft.headEnd = 'X: y'
      draft.wireBody = ''
      draft.isCutShort = true
    },
    'less body than was declared': (draft) => {
      draft.framing = 'length'
      frame(draft, draft.body)
      draft.framingLines = [`Content-Length: ${draft.body.length + 10}`]
      draft.isCutShort = true
    },
    'no last chunk': (draft) => {
      draft.framing = 'chunked'
      frame(draft, draft.body || 'hello')
      draft.wireBody = draft.wireBody.slice(0, -'0\r\n\r\n'.length)
      draft.isCutShort = true
    },
  }),
]

export const ANSWERED: readonly Mutation<Http1Draft>[] = [
  {
    name: 'a host that nobody serves',
    fate: 'answered',
    apply: (draft) => {
      draft.hostLines = ['Host: x.example']
      return draft.method !== 'HEAD' && draft.target === draft.path
    },
  },
  {
    name: 'an expectation that nobody can meet',
    fate: 'answered',
    apply: (draft) => {
      draft.fields.push('Expect: x')
      return draft.method !== 'HEAD'
    },
  },
]

/** A byte of the head changed, added or lost: whatever comes of it. */
export const NOISE: Mutation<Http1Draft> = {
  name: 'a byte of the head changed, added or lost',
  fate: 'either',
  apply: (draft) => {
    draft.rewrite = (bytes) => {
      // The id in the target stays as it is.
      const first = bytes.indexOf(' HTTP/') + 1
      const at = first + draft.chance.below(bytes.length - draft.wireBody.length - first)
      const byte = draft.chance.pick(['', '\r', '\n', '\0', ' ', ':', ',', '\t', '\u00ff', 'x', '0', '/'])
      return bytes.slice(0, at) + byte + bytes.slice(at + draft.chance.below(2))
    }
    // What it makes of the body must not be a request that somebody has made.
    // And an answer to HEAD has the length of a body, and none: nobody could say where it ends.
    return draft.method !== 'HEAD' && !`${draft.body}${draft.wireBody}`.includes('HTTP/')
  },
}
