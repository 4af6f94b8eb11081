// Requests over HTTP/2 as frames: several on one connection, most of them odd.
import { dataFrame, FRAME, frame, headersFrame, type Fields } from '../support/http2/frames.ts'
import type { Chance } from './chance.ts'
import { pathOf, worst, type Fate, type Meant, type Mutation } from './fate.ts'
import { bodyText } from './http1-draft.ts'

export interface Http2Request {
  readonly classes: readonly string[]
  readonly fate: Fate
  readonly meant: Meant
  readonly streamId: number
  readonly frames: readonly Buffer[]
  /** The connection may end with it. */
  readonly isFatal: boolean
}

interface Http2Draft {
  readonly chance: Chance
  method: string
  path: string
  authority: string
  /** Instead of the four that a request has. */
  pseudo: Fields | undefined
  fields: (readonly [name: string, value: string])[]
  body: string | undefined
  trailers: Fields | undefined
  isFatal: boolean
}

type Change = (draft: Http2Draft) => boolean | void

const MAX_STREAMS = 12
const METHODS = ['GET', 'GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'get', 'X-METHOD'] as const

const SERVED: Readonly<Record<string, Change>> = {
  'h2: host beside :authority': (draft) => {
    if (draft.fields.some(([name]) => name === 'host')) return false
    draft.fields.push(['host', draft.authority])
    return true
  },
  'h2: host instead of :authority': (draft) => {
    draft.pseudo = fourOf(draft).filter(([name]) => name !== ':authority')
    if (draft.authority !== 'a.example' || draft.fields.some(([name]) => name === 'host')) return false
    draft.fields.push(['host', draft.authority])
    return true
  },
  'h2: :authority with a port': (draft) => {
    if (draft.pseudo !== undefined || draft.fields.some(([name]) => name === 'host')) return false
    draft.authority = 'A.example:8443'
    return true
  },
  'h2: a declared length': (draft) => {
    if (draft.body === undefined || draft.fields.some(([name]) => name === 'content-length')) return false
    draft.fields.push(['content-length', String(draft.body.length)])
    return true
  },
  'h2: cookie crumbs': (draft) => void draft.fields.push(['cookie', 'a=1'], ['cookie', 'b=2']),
  'h2: te and trailer': (draft) => void draft.fields.push(['te', 'trailers'], ['trailer', 'host']),
  'h2: forged forwarding headers': (draft) =>
    void draft.fields.push(
      ['x-forwarded-for', '6.6.6.6'],
      ['x-real-ip', '6.6.6.6'],
      ['forwarded', 'for=6.6.6.6'],
    ),
  'h2: bytes beyond ASCII in values': (draft) => void draft.fields.push(['x-bytes', '\u00e9\u00ff']),
  'h2: trailers': (draft) => {
    draft.body ??= ''
    draft.trailers = [['x-forwarded-for', '6.6.6.6']]
  },
  'h2: sixty fields': (draft) =>
    void draft.fields.push(...Array.from({ length: 60 }, (_, i) => [`x-${i}`, 'v'] as const)),
}

const REFUSED: Readonly<Record<string, Change>> = {
  'h2: host and :authority differ': (draft) => void draft.fields.push(['host', 'b.example']),
  'h2: a field with CR LF': (draft) => void draft.fields.push(['x', 'y\r\nx-forwarded-for: 6.6.6.6']),
  'h2: a field with a request': (draft) =>
    void draft.fields.push(['x', 'y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n']),
  'h2: a name with CR LF': (draft) => void draft.fields.push(['x\r\nhost', 'b.example']),
  'h2: NUL and spaces in values': (draft) =>
    void draft.fields.push(['x', 'y\0z'], ['x', ' y '], ['x y', 'z']),
  'h2: connection': (draft) => void draft.fields.push(['connection', 'close']),
  'h2: transfer-encoding': (draft) => void draft.fields.push(['transfer-encoding', 'chunked']),
  'h2: keep-alive': (draft) => void draft.fields.push(['keep-alive', 'timeout=5']),
  'h2: upgrade': (draft) => void draft.fields.push(['upgrade', 'websocket']),
  'h2: te that is none': (draft) => void draft.fields.push(['te', 'gzip']),
  'h2: an upper-case name': (draft) => void draft.fields.push(['X-Up', 'y']),
  'h2: an unknown pseudo-header': (draft) => void (draft.pseudo = [...fourOf(draft), [':other', 'y']]),
  'h2: a pseudo-header twice': (draft) => void (draft.pseudo = [...fourOf(draft), [':path', '/smuggled']]),
  'h2: a pseudo-header behind a field': (draft) => void draft.fields.push([':path', '/smuggled']),
  'h2: a pseudo-header missing': (draft) => {
    const missing = draft.chance.pick([':method', ':path', ':scheme', ':authority'])
    draft.pseudo = fourOf(draft).filter(([name]) => name !== missing)
    return !draft.fields.some(([name]) => name === 'host')
  },
  'h2: a request line in :path': (draft) =>
    replace(draft, ':path', `${draft.path} HTTP/1.1\r\nHost: b.example\r\n\r\n`),
  'h2: a :path without slash': (draft) => replace(draft, ':path', draft.path.slice(1)),
  'h2: a :path with a scheme': (draft) => replace(draft, ':path', `https://a.example${draft.path}`),
  'h2: bytes beyond ASCII in :path': (draft) => replace(draft, ':path', `${draft.path}?\u00c3\u00a9`),
  'h2: a fragment': (draft) => replace(draft, ':path', `${draft.path}#x`),
  'h2: another scheme': (draft) => replace(draft, ':scheme', 'ftp'),
  'h2: a request line in :method': (draft) => replace(draft, ':method', 'GET /smuggled HTTP/1.1\r\n\r\nGET'),
  'h2: userinfo': (draft) => replace(draft, ':authority', 'u@a.example'),
  'h2: less body than declared': (draft) => {
    draft.body ??= 'hello'
    draft.fields.push(['content-length', String(draft.body.length + 10)])
    return !draft.fields.slice(0, -1).some(([name]) => name === 'content-length')
  },
  'h2: more body than declared': (draft) => {
    draft.body ??= 'hello'
    draft.fields.push(['content-length', '1'])
    draft.isFatal = true
    return draft.body.length > 1
  },
  'h2: a length that is none': (draft) => {
    draft.body ??= 'hello'
    draft.fields.push([
      'content-length',
      draft.chance.pick(['+5', '5, 5', '0x5', '', '99999999999999999999999']),
    ])
  },
  'h2: a length without a body': (draft) => {
    if (draft.body !== undefined) return false
    draft.fields.push(['content-length', '5'])
    return true
  },
  'h2: pseudo-headers among the trailers': (draft) => {
    draft.body ??= ''
    draft.trailers = [[':path', '/smuggled']]
  },
  'h2: more fields than are allowed': (draft) =>
    void draft.fields.push(...Array.from({ length: 120 }, (_, i) => [`y-${i}`, 'v'] as const)),
}

const ANSWERED: Readonly<Record<string, Change>> = {
  'h2: a host that nobody serves': (draft) => replace(draft, ':authority', 'x.example'),
  'h2: an expectation that nobody can meet': (draft) => void draft.fields.push(['expect', 'x']),
}

const TABLES = {
  served: listed(SERVED, 'served'),
  refused: listed(REFUSED, 'refused'),
  answered: listed(ANSWERED, 'answered'),
}

const PLAIN = 'h2: plain'

/** The name of every kind of oddity there is. */
export const HTTP2_CLASSES: readonly string[] = [
  PLAIN,
  ...Object.values(TABLES).flatMap((table) => table.map(({ name }) => name)),
]

function listed(table: Readonly<Record<string, Change>>, fate: Fate): Mutation<Http2Draft>[] {
  return Object.entries(table).map(([name, apply]) => ({ name, fate, apply }))
}

function fourOf({ method, path, authority, pseudo }: Http2Draft): Fields {
  return (
    pseudo ?? [
      [':method', method],
      [':scheme', 'https'],
      [':path', path],
      [':authority', authority],
    ]
  )
}

function replace(draft: Http2Draft, name: string, value: string): boolean {
  const four = fourOf(draft)
  draft.pseudo = four.map((field) => (field[0] === name ? [name, value] : field))
  return four.some(([candidate]) => candidate === name)
}

/** What one connection carries. @param nextId called once for each request */
export function makeSession(chance: Chance, nextId: () => number): Http2Request[] {
  const length = 1 + chance.below(MAX_STREAMS)
  return Array.from({ length }, (_, i) => makeRequest(chance, nextId(), 2 * i + 1))
}

function makeRequest(chance: Chance, id: number, streamId: number): Http2Request {
  const draft: Http2Draft = {
    chance,
    method: chance.pick(METHODS),
    path: pathOf(id),
    authority: 'a.example',
    pseudo: undefined,
    fields: [['accept', '*/*']],
    body: chance.percent(50) ? bodyText(chance) : undefined,
    trailers: undefined,
    isFatal: false,
  }
  const classes: string[] = []
  let fate: Fate = 'served'
  for (const mutation of choose(chance)) {
    if (mutation.apply(draft) === false) return makeRequest(chance, id, streamId)
    classes.push(mutation.name)
    fate = worst(fate, mutation.fate)
  }
  const { method, path, authority, body = '', isFatal } = draft
  return {
    classes: classes.length === 0 ? [PLAIN] : classes,
    fate,
    meant: { id, method, path, authority, body },
    streamId,
    frames: framesOf(draft, streamId),
    isFatal,
  }
}

function choose(chance: Chance): Mutation<Http2Draft>[] {
  const chosen = new Set<Mutation<Http2Draft>>()
  for (let i = chance.below(3); i > 0; i--) chosen.add(chance.pick(TABLES.served))
  const dice = chance.below(100)
  if (dice < 25) chosen.add(chance.pick(TABLES.refused))
  else if (dice < 30) chosen.add(chance.pick(TABLES.answered))
  return [...chosen]
}

function framesOf(draft: Http2Draft, streamId: number): Buffer[] {
  const { chance, body, trailers } = draft
  const frames = [headersFrame(streamId, [...fourOf(draft), ...draft.fields], body === undefined)]
  if (body === undefined) return frames
  for (const piece of chance.pieces(body, 60)) frames.push(dataFrame(streamId, piece, false))
  if (trailers !== undefined) frames.push(headersFrame(streamId, trailers))
  else frames.push(frame(FRAME.data, 1, streamId, Buffer.alloc(0)))
  return frames
}
