// Clients that ask and then do not read: an answer that waits for its client longer than
// `body_stall_timeout_secs` without getting any further is given up, as nginx does with its `send_timeout`.
// Looks at all of them once a second: a timer for every answer would cost more. What giving up means is
// the exchange's business.

import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'

/** An answer of which something has been written that may not have left yet. */
export interface PendingResponse {
  readonly client: { readonly ip: string }
  /**
   * Its time is up: whether it waits for something else than its client, such as the answer before it, or its
   * client has been sending meanwhile.
   */
  isHeldUp(nowMs: number, timeoutMs: number): boolean
  /** May come again if that does not end it. */
  onStalled(): void
}

export class WriteTimeouts {
  readonly #timeoutMs: () => number
  readonly #nowMs: () => number
  readonly #log: Log
  readonly #metrics: EventCounter
  /** Since when it is the client's turn; the one that has waited longest comes first. */
  readonly #pending = new Map<PendingResponse, number>()

  /** @param nowMs monotonic */
  constructor(timeoutMs: () => number, nowMs: () => number, log: Log, metrics: EventCounter) {
    this.#log = log
    this.#metrics = metrics
    this.#timeoutMs = timeoutMs
    this.#nowMs = nowMs
  }

  /** From now on it is its client's turn. */
  watch(answer: PendingResponse): void {
    // To the end of the map, also if it is there already.
    this.#pending.delete(answer)
    this.#pending.set(answer, this.#nowMs())
  }

  forget(answer: PendingResponse): void {
    this.#pending.delete(answer)
  }

  sweep(): void {
    const nowMs = this.#nowMs()
    const timeoutMs = this.#timeoutMs()
    for (const [answer, sinceMs] of this.#pending) {
      if (nowMs - sinceMs < timeoutMs) break
      this.watch(answer)
      if (answer.isHeldUp(nowMs, timeoutMs)) continue
      this.#metrics.count('client_error', 'answer not read')
      this.#log.info('CLIENT_ERROR', { client_ip: answer.client.ip, error: 'answer not read' })
      answer.onStalled()
    }
  }
}
