// The heads of one connection, one after the other. A parser is had only while a head has begun and not ended: most
// connections have none. Also knows how many requests were sent in one go.
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

  /** Something of a head has come, and not all. */
  get isWithinHead(): boolean {
    return this.#parser !== undefined
  }

  /**
   * Takes from `read` what belongs to a head. @returns undefined: it has not ended
   * @throws Http1Fault
   */
  take(read: ReadAhead, limits: HeadLimits): Http1RequestHead | undefined {
    const parser = this.#parser ?? idle.pop() ?? new HeadParser()
    // One that has refused a head is of no more use.
    this.#parser = undefined
    read.at = parser.take(read.buffer, read.at, read.end, limits)
    if (parser.hasBegun) this.#parser = parser
    else if (idle.length < MAX_IDLE) idle.push(parser)
    return parser.takeHead()
  }

  /**
   * Whether the request that begins is the last of so many that had all come when the first of them began.
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
