// The attempts of one request that has failed at least once: which peers have been tried, since when, and which is next.
import { ERRORS } from '@reverse-proxy/shared/errors'
import type { Exchange } from '../protocol/exchange.ts'
import type { Peer } from './peer.ts'
import { nextAttempt, type Failure } from './retry.ts'
import type { Upstream } from './upstream.ts'

/** Pause between two rounds over all peers: a peer that restarts needs a moment. */
const PAUSE_MS = 100

export class Attempts {
  readonly #upstream: Upstream
  readonly #exchange: Exchange
  readonly #tried = new Set<Peer>()
  readonly #untilMs: number
  #isFresh = false
  #cancel: (() => void) | undefined

  constructor(upstream: Upstream, exchange: Exchange) {
    this.#upstream = upstream
    this.#exchange = exchange
    this.#untilMs = exchange.startedMs + upstream.retryMs
  }

  /**
   * @param peer the one that has failed
   * @param again starts the next attempt, perhaps after a pause; `fresh`: on a connection that no request has used yet
   * @returns false if there is no further attempt
   */
  next(peer: Peer, failure: Failure, again: (peer: Peer, fresh: boolean) => void): boolean {
    const upstream = this.#upstream
    this.#tried.add(peer)
    const next = nextAttempt(failure, {
      isFresh: this.#isFresh,
      hasOther: upstream.peerCount > this.#tried.size,
      hasTime: upstream.timers.nowMs() + PAUSE_MS < this.#untilMs,
    })
    // The end of an idle connection says nothing about the peer; neither does a client that exceeds a limit.
    if (next !== 'fresh' && ERRORS[failure.code].source === 'upstream') upstream.failed(peer)
    if (next === 'fail') return false
    this.#isFresh = next === 'fresh'
    if (next === 'later') {
      this.#tried.clear()
      this.#cancel = upstream.timers.after(PAUSE_MS, () => again(upstream.pick(this.#exchange), false))
    } else if (next === 'other') again(upstream.pick(this.#exchange, this.#tried), false)
    else again(peer, true)
    return true
  }

  cancel(): void {
    this.#cancel?.()
  }
}
