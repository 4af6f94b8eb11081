// Field lines that upstreams repeat, each with the name and value that it was parsed to: a server says most of what it says
// in every response. Bounded in lines and in bytes; belongs to the whole worker.
import { lowerFieldName } from '../../message/field-names.ts'

const SLOTS = 1_024
const MAX_LINE_BYTES = 256
const HASH_FACTOR = 31
const SAMPLES_LOG2 = 4
/** A secret, and never the same twice. */
const NOT_KEPT = 'set-cookie'

export interface KnownLine {
  /** With its line end. */
  readonly text: string
  /** In lower case. */
  readonly name: string
  readonly value: string
}

export class KnownLines {
  readonly #lines: (KnownLine | undefined)[] = Array.from({ length: SLOTS })
  /** The hash that was last missed in each slot. */
  readonly #missed = new Int32Array(SLOTS)

  /** The line of `text` from `at` up to the LF at `lf`. */
  find(text: string, at: number, lf: number): KnownLine | undefined {
    const line = this.#lines[hashOf(text, at, lf) & (SLOTS - 1)]
    return line !== undefined && line.text.length === lf + 1 - at && text.startsWith(line.text, at)
      ? line
      : undefined
  }

  /** Takes effect when the same line comes for the second time: most values that change never come again. */
  add(text: string, at: number, lf: number, name: string, value: string): void {
    const hash = hashOf(text, at, lf)
    const slot = hash & (SLOTS - 1)
    if (this.#missed[slot] !== hash) {
      this.#missed[slot] = hash
      return
    }
    if (name === NOT_KEPT || lf - at > MAX_LINE_BYTES) return
    this.#lines[slot] = {
      text: copyOf(text.slice(at, lf + 1)),
      name: lowerFieldName(copyOf(name)),
      value: copyOf(value),
    }
  }
}

/** Of a few characters: a line that is found is compared as a whole. */
function hashOf(text: string, at: number, lf: number): number {
  let hash = lf - at
  const step = (hash >> SAMPLES_LOG2) + 1
  for (let i = at; i < lf; i += step) hash = (Math.imul(hash, HASH_FACTOR) + text.charCodeAt(i)) | 0
  return hash
}

/** A part of a text keeps all of it in memory. */
function copyOf(part: string): string {
  return Buffer.from(part, 'latin1').toString('latin1')
}
