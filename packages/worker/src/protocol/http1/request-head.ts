// The head of a request over HTTP/1: its text, the values that decide about framing and routing, and a list of all
// fields that is made at its first use.
import {
  addToFraming,
  isWebSocketHandshake,
  newFraming,
  type Protocol,
  type RequestFraming,
  type RequestHead,
} from '../../message/request-parser.ts'
import { COLON, CR, hashOf, isBlank } from './characters.ts'

/** The fields that the parser reports. */
const REPORTED = [
  'host',
  'content-length',
  'transfer-encoding',
  'expect',
  'connection',
  'upgrade',
  'sec-websocket-key',
  'sec-websocket-version',
] as const
type Reported = (typeof REPORTED)[number]

const BY_HASH: ReadonlyMap<number, Reported> = new Map(REPORTED.map((name) => [hashOf(name), name]))

export class Http1RequestHead implements RequestHead {
  readonly protocol: Protocol
  readonly method: string
  readonly target: string
  readonly authority = undefined
  readonly scheme = undefined
  readonly endsWithHead = false
  readonly upgrade: boolean
  /** It asks for an upgrade that it does not get, so the bytes behind it may be of another protocol. */
  readonly isUpgradeIgnored: boolean
  /** The client expects to send another request on the connection. */
  readonly keepsAlive: boolean
  readonly framing: RequestFraming
  readonly passedLines: string | undefined
  readonly #text: string
  readonly #fieldsAt: number
  #rawHeaders: readonly string[] | undefined

  /**
   * @param text the whole head, a character for each byte, with its empty line
   * @param lines the positions of [request line's method start, method end, target start, target end, first field line]
   * @param reported for each field that may be reported: the hash of its name, and where its line begins
   * @param passedLines without the reported ones, if each of those is what its hash says
   */
  constructor(
    text: string,
    lines: readonly [number, number, number, number, number],
    minorVersion: number,
    fields: number,
    reported: readonly number[],
    passedLines: string | undefined,
  ) {
    const [methodAt, methodEnd, targetAt, targetEnd, fieldsAt] = lines
    this.#text = text
    this.#fieldsAt = fieldsAt
    this.method = text.slice(methodAt, methodEnd)
    this.target = text.slice(targetAt, targetEnd)
    // RFC 9110 2.5: a higher minor version is read as the highest one that is known.
    this.protocol = minorVersion === 0 ? 'http/1.0' : 'http/1.1'
    // Without the empty line.
    const facts = newFraming(text.length - fieldsAt - 2, fields)
    let hasUpgrade = false
    let isEachKnown = true
    for (let i = 0; i < reported.length; i += 2) {
      const name = BY_HASH.get(reported[i]!)
      const start = reported[i + 1]!
      // Another name with the same hash, or one with an underscore.
      if (name === undefined || !isNamed(text, start, name)) {
        isEachKnown = false
        continue
      }
      const value = valueAt(text, start + name.length + 1)
      if (name === 'upgrade') hasUpgrade = true
      else addToFraming(facts, name, value)
    }
    this.framing = facts
    this.passedLines = isEachKnown ? passedLines : undefined
    const { connection } = facts
    this.keepsAlive =
      minorVersion === 0
        ? hasOption(connection, 'keep-alive') && !hasOption(connection, 'close')
        : !hasOption(connection, 'close')
    // RFC 9110 7.8: Upgrade is ignored in HTTP/1.0 and without its connection option.
    const wantsUpgrade = hasUpgrade && minorVersion > 0 && hasOption(connection, 'upgrade')
    this.upgrade = wantsUpgrade && isWebSocketHandshake(this.method, '1.1', this.rawHeaders)
    this.isUpgradeIgnored = wantsUpgrade && !this.upgrade
  }

  get rawHeaders(): readonly string[] {
    return (this.#rawHeaders ??= fieldsOf(this.#text, this.#fieldsAt))
  }
}

function isNamed(text: string, at: number, lowerName: string): boolean {
  return (
    text.charCodeAt(at + lowerName.length) === COLON &&
    text.slice(at, at + lowerName.length).toLowerCase() === lowerName
  )
}

/** @param at behind the colon of a line that ends in CRLF */
function valueAt(text: string, at: number): string {
  let end = text.indexOf('\r', at)
  while (at < end && isBlank(text.charCodeAt(at))) at++
  while (end > at && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(at, end)
}

/** Whether a field of `Connection` lists `option`. Nearly always there is one field with one word, or none. */
function hasOption(values: readonly string[], option: string): boolean {
  for (const value of values) {
    if (value.toLowerCase() === option) return true
    if (value.includes(',') && value.split(',').some((one) => one.trim().toLowerCase() === option))
      return true
  }
  return false
}

/** Name, value, name, value ... of lines that have been checked. */
function fieldsOf(text: string, at: number): string[] {
  const fields: string[] = []
  while (text.charCodeAt(at) !== CR) {
    const colon = text.indexOf(':', at)
    fields.push(text.slice(at, colon), valueAt(text, colon + 1))
    at = text.indexOf('\n', colon) + 1
  }
  return fields
}
