// Field lines of responses, prepared for the encoder. An upstream repeats most of its lines, so each is checked and
// looked up once for the whole worker. Bounded in names, in lines for each name, and in bytes.
import { isToken } from '@reverse-proxy/shared/http-token'
import { lowerFieldName } from '../../../message/field-names.ts'
import { isFieldValue } from '../../../message/field-values.ts'
import { STATIC_NAMES } from './static-table.ts'

const MAX_NAMES = 256
/** Lines of one name in each of its two generations. */
const MAX_LINES = 32
const MAX_VALUE_BYTES = 256
/** RFC 7541 4.1. */
const OVERHEAD_BYTES = 32
/** Names whose values are secret (RFC 7541 7.1.3) or hardly ever repeat. */
const NOT_INDEXED: ReadonlySet<string> = new Set(['set-cookie', 'etag', 'location', 'content-length'])
const SECRET = 'set-cookie'

export class FieldLine {
  readonly name: string
  readonly value: string
  /** Index of the name in the static table; 0: none. */
  readonly nameIndex: number
  /** Size of the entry in HPACK (RFC 7541 4.1). */
  readonly size: number
  readonly mayBeIndexed: boolean
  readonly isSecret: boolean
  /** How often it has been used. */
  uses = 0

  constructor(name: string, value: string, isCached: boolean) {
    this.name = name
    this.value = value
    this.nameIndex = STATIC_NAMES.get(name) ?? 0
    this.size = name.length + value.length + OVERHEAD_BYTES
    this.mayBeIndexed = isCached && !NOT_INDEXED.has(name)
    this.isSecret = name === SECRET
  }
}

class NamedLines {
  readonly name: string
  #lines = new Map<string, FieldLine>()
  #older = new Map<string, FieldLine>()

  constructor(name: string) {
    this.name = name
  }

  get(value: string): FieldLine {
    let line = this.#lines.get(value)
    if (line !== undefined) return line
    line = this.#older.get(value) ?? lineOf(this.name, value, true)
    if (this.#lines.size === MAX_LINES) {
      this.#older = this.#lines
      this.#lines = new Map()
    }
    this.#lines.set(value, line)
    return line
  }
}

const names = new Map<string, NamedLines>()

/**
 * @param name in any case
 * @throws TypeError for a name or a value that no field may have
 */
export function fieldLine(name: string, value: string): FieldLine {
  const known = names.get(name)
  if (known !== undefined && value.length <= MAX_VALUE_BYTES && known.name !== SECRET) {
    const line = known.get(value)
    line.uses += 1
    return line
  }
  const lowerName = lowerFieldName(name)
  if (!isToken(lowerName)) throw new TypeError('a field name that is no token')
  if (known === undefined && names.size < MAX_NAMES) names.set(name, new NamedLines(lowerName))
  return lineOf(lowerName, value, false)
}

function lineOf(name: string, value: string, isCached: boolean): FieldLine {
  if (!isFieldValue(value)) throw new TypeError('a field value with a control byte')
  return new FieldLine(name, value, isCached)
}
