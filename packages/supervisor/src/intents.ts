// The queue of intents: what the supervisor has been asked to do, in order. Handlers of signals, IPC and timers only
// push; the loop in supervisor.ts takes and acts.
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '@reverse-proxy/shared/clock'
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { Outcome, RenewResult } from './operations.ts'
import type { ReloadKind, ReloadResult } from './reload.ts'

/** Called once with the result of the operation; never called if the supervisor stops before that. */
export type Reply<Result> = (result: Result) => void

export type Intent =
  /** Drain and exit; `cut`: without waiting. */
  | { readonly type: 'stop'; readonly cut: boolean; readonly reason: string }
  | { readonly type: 'reload'; readonly kind: ReloadKind; readonly reply?: Reply<ReloadResult> }
  /** One worker more or fewer, until the configuration is read again. */
  | { readonly type: 'resize'; readonly by: 1 | -1 }
  | { readonly type: 'reopen-logs'; readonly reply?: Reply<Outcome> }
  /** Renew every certificate that has this name now. */
  | { readonly type: 'renew'; readonly name: string; readonly reply: Reply<RenewResult> }
  /** Lift the ban of an address. */
  | { readonly type: 'unban'; readonly address: string; readonly reply: Reply<Outcome> }
  /** A worker changed its state, or a deadline passed: converge again. */
  | { readonly type: 'fleet-changed' }
  /** A listener has begun to serve, or its first attempt has failed: converge again. */
  | { readonly type: 'listener-settled' }
  | { readonly type: 'start-failed'; readonly error: ProxyError }
  | { readonly type: 'background-ended' }

/** Longest delay that a timer accepts; a later deadline is checked again after it. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export class IntentQueue {
  readonly #clock: Clock
  readonly #queue: Intent[] = []
  #wake: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  push(intent: Intent): void {
    this.#queue.push(intent)
    this.#wake?.()
  }

  /**
   * Resolves with the queued intents in order, or with none when `deadlineMs` (of the given clock) has passed. Lets the
   * event loop turn first, so that messages, exits and signals that arrived while the caller was busy are included.
   */
  async next(deadlineMs: number | undefined): Promise<readonly Intent[]> {
    if (this.#queue.length === 0) await this.#sleep(deadlineMs)
    // Twice: the first call ends a turn whose events may have been collected long ago.
    await setImmediate()
    await setImmediate()
    return this.#queue.splice(0)
  }

  async #sleep(deadlineMs: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (deadlineMs === undefined) return
      const delayMs = Math.min(Math.max(deadlineMs - this.#clock.nowMs(), 0), LONGEST_TIMER_MS)
      timer = setTimeout(resolve, delayMs)
    })
    clearTimeout(timer)
    this.#wake = undefined
  }
}
