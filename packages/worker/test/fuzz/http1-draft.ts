// A request over HTTP/1 while it is being made up, and the bytes that become of it.
import type { Chance } from './chance.ts'
import { pathOf, type Fate, type Meant } from './fate.ts'

export interface Http1Draft {
  readonly chance: Chance
  readonly id: number
  method: string
  /** As it goes up; `target` is how the client says it. */
  path: string
  target: string
  version: string
  authority: string
  /** Whole lines, without Host and without the framing. */
  fields: string[]
  hostLines: string[]
  framing: 'none' | 'length' | 'chunked'
  /** Lines of Content-Length and Transfer-Encoding. */
  framingLines: string[]
  body: string
  /** The body in its framing. */
  wireBody: string
  /** Before the request line. */
  prefix: string
  /** After the head, instead of the empty line. */
  headEnd: string
  lineEnd: string
  /** After this request the connection ends, or nothing after it can be understood. */
  isLast: boolean
  /** After this request the connection may end. */
  mayEnd: boolean
  /** Behind the body, and no part of it. */
  suffix: string
  /** The client ends its side here, in the middle of the request. */
  isCutShort: boolean
  /** What the client's bytes look like at the end of all. */
  rewrite: ((bytes: string) => string) | undefined
}

export interface Http1Request {
  readonly classes: readonly string[]
  readonly fate: Fate
  readonly meant: Meant
  readonly bytes: string
  readonly isLast: boolean
  readonly mayEnd: boolean
  readonly isCutShort: boolean
}

const METHODS = [
  'GET',
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'HEAD',
  'QUERY',
] as const

export function plainDraft(chance: Chance, id: number): Http1Draft {
  const path = pathOf(id)
  const draft: Http1Draft = {
    chance,
    id,
    method: chance.pick(METHODS),
    path,
    target: path,
    version: 'HTTP/1.1',
    authority: 'a.example',
    fields: ['Accept: */*'],
    hostLines: ['Host: a.example'],
    framing: chance.pick(['none', 'length', 'chunked']),
    framingLines: [],
    body: '',
    wireBody: '',
    prefix: '',
    headEnd: '',
    lineEnd: '\r\n',
    isLast: false,
    mayEnd: false,
    suffix: '',
    isCutShort: false,
    rewrite: undefined,
  }
  frame(draft, draft.framing === 'none' ? '' : bodyText(chance))
  return draft
}

/** Gives the draft this body, in the framing it has. */
export function frame(draft: Http1Draft, body: string): void {
  draft.body = body
  draft.wireBody = draft.framing === 'chunked' ? inChunks(draft.chance.pieces(body, 40)) : body
  if (draft.framing === 'none') draft.framingLines = []
  else if (draft.framing === 'length') draft.framingLines = [`Content-Length: ${body.length}`]
  else draft.framingLines = ['Transfer-Encoding: chunked']
}

export function inChunks(pieces: readonly string[], extension = '', trailers = ''): string {
  const chunks = pieces.map((piece) => `${piece.length.toString(16)}${extension}\r\n${piece}\r\n`)
  return `${chunks.join('')}0${extension}\r\n${trailers}\r\n`
}

export function render(draft: Http1Draft, classes: readonly string[], fate: Fate): Http1Request {
  const { id, method, path, authority, body, isLast, mayEnd, isCutShort, lineEnd } = draft
  const lines = [
    `${method} ${draft.target} ${draft.version}`,
    ...draft.chance.pick([
      [...draft.hostLines, ...draft.fields, ...draft.framingLines],
      [...draft.framingLines, ...draft.fields, ...draft.hostLines],
    ]),
  ]
  const head = lines.map((line) => line + lineEnd).join('') + (draft.headEnd || lineEnd)
  const bytes = draft.prefix + head + draft.wireBody + draft.suffix
  return {
    classes,
    fate,
    meant: { id, method, path, authority, body },
    bytes: draft.rewrite?.(bytes) ?? bytes,
    isLast,
    mayEnd,
    isCutShort,
  }
}

/** What looks like HTTP is what would be read as HTTP if its framing were lost. */
export function bodyText(chance: Chance): string {
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'
  const kinds = [
    () => 'x'.repeat(1 + chance.below(300)),
    () => smuggled.repeat(1 + chance.below(2)),
    () => `0\r\n\r\n${smuggled}`,
    () => '\r\n'.repeat(1 + chance.below(5)),
    () => Array.from({ length: 1 + chance.below(60) }, () => String.fromCharCode(chance.below(256))).join(''),
  ]
  return chance.pick(kinds)()
}
