// Which field lines of a head go to an upstream as they came. In most heads all do, but for a few that are cut out, so that
// nothing has to be taken apart and put together again. Where any other field has to be looked at, none is passed here.
import { NOT_FROM_CLIENT } from '../../message/headers.ts'
import { hashOf } from './characters.ts'

/** What a field is, by the hash of its name: bits, since two names may have the same hash. */
export const PLAIN = 0
/** It decides about framing or routing, and is cut out. */
export const REPORTED = 1
/** Passed once; several become one. */
export const COOKIE = 2
/** It may have to be removed or to be read. */
export const LOOKED_AT = 4

const REPORTED_NAMES = ['host', 'content-length', 'transfer-encoding', 'expect', 'connection', 'upgrade']
const SLOTS = 256
const NONE = -1

/** Open addressing: the kind of `hashes[i]` is `kinds[i]`, and PLAIN ends a search. */
const hashes = new Int32Array(SLOTS)
const kinds = new Uint8Array(SLOTS)
for (const name of NOT_FROM_CLIENT) addKind(name, REPORTED_NAMES.includes(name) ? REPORTED : LOOKED_AT)
addKind('sec-websocket-key', REPORTED | LOOKED_AT)
addKind('sec-websocket-version', REPORTED | LOOKED_AT)
addKind('authorization', LOOKED_AT)
addKind('cookie', COOKIE)

/** @param hash of a name in which an underscore counts as a dash */
export function fieldKind(hash: number): number {
  return kinds[slotOf(hash)]!
}

function slotOf(hash: number): number {
  let slot = hash & (SLOTS - 1)
  while (kinds[slot] !== PLAIN && hashes[slot] !== hash) slot = (slot + 1) & (SLOTS - 1)
  return slot
}

function addKind(name: string, kind: number): void {
  const hash = hashOf(name)
  const slot = slotOf(hash)
  hashes[slot] = hash
  kinds[slot]! |= kind
}

/** Collects the positions while a head is read. */
export class PassedLines {
  /** Begin and end of each run of lines that pass. */
  readonly #runs: number[] = []
  #from = NONE
  #hasCookie = false
  #isRefused = false

  beginLine(position: number): void {
    if (this.#from === NONE) this.#from = position
  }

  /** The line that has begun is not passed. */
  cut(lineAt: number): void {
    this.end(lineAt)
  }

  /** After it, a second cookie has to be joined. */
  cookie(): void {
    if (this.#hasCookie) this.#isRefused = true
    this.#hasCookie = true
  }

  /** The fields have to be looked at. */
  refuse(): void {
    this.#isRefused = true
  }

  end(position: number): void {
    if (this.#from !== NONE && this.#from < position) this.#runs.push(this.#from, position)
    this.#from = NONE
  }

  /** Ready for the next head afterwards. @param text the whole head */
  take(text: string): string | undefined {
    let lines: string | undefined
    if (!this.#isRefused) {
      lines = ''
      for (let i = 0; i < this.#runs.length; i += 2) lines += text.slice(this.#runs[i], this.#runs[i + 1])
    }
    this.#runs.length = 0
    this.#from = NONE
    this.#hasCookie = false
    this.#isRefused = false
    return lines
  }
}
