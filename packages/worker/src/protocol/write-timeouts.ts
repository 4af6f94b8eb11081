// Gives up responses whose clients do not read: those that have waited for `body_stall_timeout_secs` without sending a
// byte, like `send_timeout` of nginx. Checks all of them once a second, because a timer for each response would cost
// more. The exchange decides what giving up means.

import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'

/** A response of which something has been written that may not have been sent yet. */
export interface PendingResponse {
  readonly client: { readonly ip: string }
  /**
   * Asked when its time is up. True if it waits for something other than its client, such as the response before it, or
   * if its client has sent something meanwhile.
   */
  isHeldUp(nowMs: number, timeoutMs: number): boolean
  /** Called again later if the response is not over then. */
  onStalled(): void
}

export class WriteTimeouts {
  readonly #timeoutMs: () => number
  readonly #nowMs: () => number
  readonly #log: Log
  readonly #metrics: EventCounter
  /** When each began to wait for its client; the longest wait comes first. */
  readonly #pending = new Map<PendingResponse, number>()

  /** @param nowMs monotonic */
  constructor(timeoutMs: () => number, nowMs: () => number, log: Log, metrics: EventCounter) {
    this.#log = log
    this.#metrics = metrics
    this.#timeoutMs = timeoutMs
    this.#nowMs = nowMs
  }

  /** From now on the response waits for its client. */
  watch(answer: PendingResponse): void {
    // Moves it to the end of the map if it is there already.
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
