// Handles the exit of a worker: a log line, a count, and the time when its slot may fork again. Kept by slot over many
// workers, which tells a start that cannot succeed from one failure.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Backoff } from './backoff.ts'
import { afterDeath, NO_BACKOFF } from './backoff.ts'
import type { Ending } from './ending.ts'
import { endingOf } from './ending.ts'
import type { WorkerHandle } from './handle.ts'

export interface Exit {
  readonly code: number | null
  readonly signal: string | null
}

export class Exits {
  readonly #clock: Clock
  readonly #log: Log
  readonly #backoffs = new Map<number, Backoff>()
  #unexpected = 0

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** By slot. */
  get backoffs(): ReadonlyMap<number, Backoff> {
    return this.#backoffs
  }

  /** Those that nobody had asked for. */
  get unexpected(): number {
    return this.#unexpected
  }

  /** Deaths in a row of the worst slot. */
  get inARow(): number {
    return Math.max(0, ...[...this.#backoffs.values()].map(({ deaths }) => deaths))
  }

  /** @param isRunning false while everything is being stopped: nothing is unexpected then */
  add(handle: WorkerHandle, { code, signal }: Exit, isRunning: boolean): Ending {
    const { slot, pid, stage, endReason, bornAtMs } = handle
    const ending = endingOf({ stage, endReason, code })
    this.#log[levelOf(handle, ending, isRunning)]('WORKER_EXIT', {
      worker: slot,
      pid,
      code: code ?? undefined,
      signal: signal ?? undefined,
      reason: endReason ?? guessReason(signal),
    })
    if (ending === 'crashed' || ending === 'boot-failed') {
      if (isRunning) this.#unexpected++
      // A successor has long taken the place of one that drains.
      if (stage !== 'draining') this.#delayNext(slot, bornAtMs)
    }
    return ending
  }

  /** There was no process for this slot: that counts as a death, too. */
  addUnborn(slot: number): void {
    this.#delayNext(slot, this.#clock.nowMs())
  }

  /** The next one waits, unless this one had been well. */
  #delayNext(slot: number, bornAtMs: number): void {
    const before = this.#backoffs.get(slot) ?? NO_BACKOFF
    this.#backoffs.set(slot, afterDeath(before, bornAtMs, this.#clock.nowMs()))
  }
}

/** A worker that reported its failure is logged by that report; one that is no longer wanted is not worth a line. */
function levelOf(
  { stage, bootFailure }: WorkerHandle,
  ending: Ending,
  isRunning: boolean,
): 'error' | 'warn' | 'info' | 'debug' {
  if (ending === 'planned') return stage === 'booting' ? 'debug' : 'info'
  if (bootFailure !== undefined) return 'debug'
  if (ending === 'cut') return 'warn'
  if (isRunning) return 'error'
  return stage === 'booting' ? 'debug' : 'warn'
}

/** Guesses the sender of a signal that we did not send; often it is the kernel. */
function guessReason(signal: string | null): string | undefined {
  return signal === 'SIGKILL' ? 'killed: perhaps out of memory' : undefined
}
