// Reads the heads of one connection, one after the other. Has a parser only while a head has begun and not ended; an
// idle connection has none. Also counts the requests that were sent in one go.
import { HeadParser, type HeadLimits } from './head-parser.ts'
import type { ReadAhead } from './read-ahead.ts'
import type { Http1RequestHead } from './request-head.ts'

/** Requests in one go, each sent before the one ahead of it was answered: about as many as HTTP/2 streams. */
const MAX_PIPELINED = 100
const MAX_IDLE = 16

/** Within no head. */
const idle: HeadParser[] = []

export class HeadReader {
  #parser: HeadParser | undefined
  /** The first of the requests that were sent in one go, and how many bytes had come when it began. */
  #burstFirst = 0
  #burstBytes = 0

  /** A part of a head has arrived, but not all of it. */
  get isWithinHead(): boolean {
    return this.#parser !== undefined
  }

  /**
   * Consumes the part of `read` that belongs to a head. @returns undefined: the head is not complete yet
   * @throws Http1Fault
   */
  take(read: ReadAhead, limits: HeadLimits): Http1RequestHead | undefined {
    const parser = this.#parser ?? idle.pop() ?? new HeadParser()
    // A parser that has rejected a head cannot be used again.
    this.#parser = undefined
    read.at = parser.take(read.buffer, read.at, read.end, limits)
    if (parser.hasBegun) this.#parser = parser
    else if (idle.length < MAX_IDLE) idle.push(parser)
    return parser.takeHead()
  }

  /**
   * Whether the request that begins is the last of a burst: of many requests that had all arrived when the first began.
   * @param requests that have begun, this one among them
   * @param bytesReceived so far; `bytesUnread` of them are behind the head of this request
   */
  isBurstOver(requests: number, bytesReceived: number, bytesUnread: number): boolean {
    if (bytesReceived - bytesUnread > this.#burstBytes) {
      this.#burstFirst = requests
      this.#burstBytes = bytesReceived
    }
    return requests - this.#burstFirst + 1 >= MAX_PIPELINED
  }
}
