// Counts, by kind and for each connection, the frames that cost us something and request nothing. Each kind has a budget
// that refills with time; a client that has used up a budget is an attacker. Time is injected. The session decides what
// happens to the connection.
import { ConnectionError, ERROR } from './frames.ts'

/** Kinds of floods; the metrics use the same names. */
export const FLOOD = {
  /** RST_STREAM from the client (CVE-2023-44487). */
  reset: 0,
  /** Errors that make us reset a stream, and frames on streams that we have reset (CVE-2025-8671). */
  streamError: 1,
  settings: 2,
  ping: 3,
  /** PRIORITY and PRIORITY_UPDATE. */
  priority: 4,
  windowUpdate: 5,
  /** DATA without content and without END_STREAM. */
  emptyData: 6,
  /** Frames of unknown types, and GOAWAY. */
  unknown: 7,
  /** DATA that we have to send in small pieces, because the client opens its window by so little. */
  tinyWindow: 8,
  /** CONTINUATION (CVE-2024-27316), empty ones among them; header-block.ts bounds those of one section. */
  continuation: 9,
  /** Our replies to control frames, which the client does not read. */
  unreadControl: 10,
} as const

export type Flood = (typeof FLOOD)[keyof typeof FLOOD]

export const FLOOD_NAMES = [
  'reset',
  'stream error',
  'settings',
  'ping',
  'priority',
  'window update',
  'empty data',
  'unknown frame',
  'tiny window',
  'continuation',
  'unread control',
] as const

/** How many at once, and then how many a second. */
const BURST = [1_000, 200, 100, 1_000, 1_000, 4_000, 1_000, 1_000, 1_000, 1_000, 1] as const
const PER_SECOND = [33, 33, 10, 1_000, 200, 1_000, 100, 100, 100, 200, 0] as const
/** Beyond its burst, a client may answer each DATA frame with so many WINDOW_UPDATE. */
const WINDOW_UPDATES_PER_DATA = 4
/** For so much content, one frame may be cut short: at the end of a full window. */
const BYTES_PER_TINY_WINDOW = 4_096

export class FloodGuard {
  readonly #nowMs: () => number
  /** The rest of each budget; made at the first use. */
  #left: number[] | undefined
  #refilledMs = 0

  /** @param nowMs monotonic */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** @throws ConnectionError ENHANCE_YOUR_CALM */
  spend(kind: Flood): void {
    if (!this.allows(kind)) throw floodError(kind)
  }

  /** Spends from the budget. @returns false: it is a flood */
  allows(kind: Flood): boolean {
    if (this.#left === undefined) {
      this.#left = [...BURST]
      this.#refilledMs = this.#nowMs()
    }
    const left = this.#left
    left[kind]! -= 1
    if (left[kind]! >= 0) return true
    this.#refill(left)
    return left[kind]! >= 0
  }

  /** Call when a DATA frame with so many bytes of content has been sent: the client may reply to it. */
  sentData(bytes: number): void {
    const left = this.#left
    if (left === undefined) return
    if (left[FLOOD.windowUpdate]! < BURST[FLOOD.windowUpdate])
      left[FLOOD.windowUpdate]! += WINDOW_UPDATES_PER_DATA
    if (left[FLOOD.tinyWindow]! < BURST[FLOOD.tinyWindow])
      left[FLOOD.tinyWindow]! += bytes / BYTES_PER_TINY_WINDOW
  }

  #refill(left: number[]): void {
    const nowMs = this.#nowMs()
    const seconds = (nowMs - this.#refilledMs) / 1_000
    this.#refilledMs = nowMs
    for (let kind = 0; kind < BURST.length; kind++) {
      left[kind] = Math.min(BURST[kind]!, left[kind]! + seconds * PER_SECOND[kind]!)
    }
  }
}

export function floodError(kind: Flood): ConnectionError {
  return new ConnectionError(ERROR.enhanceYourCalm, 'HTTP2_FLOOD', FLOOD_NAMES[kind])
}
