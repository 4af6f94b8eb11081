// Records the exits of workers: a log line, a count, and the time when the slot may fork again. Failures are counted by
// slot over many workers, which distinguishes a start that cannot succeed from a single failure.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { afterDeath, NO_BACKOFF, type Backoff, type WorkerStage } from './worker-view.ts'
import type { WorkerHandle } from './handle.ts'
import { NOT_WANTED } from './plan.ts'

export interface Exit {
  readonly code: number | null
  readonly signal: string | null
}

interface ExitedWorker {
  readonly stage: WorkerStage
  /** The reason why the supervisor cut or killed it. */
  readonly endReason: string | undefined
  readonly code: number | null
}

export type ExitKind =
  /** It finished draining, or was no longer needed. */
  | 'planned'
  /** It was draining and had to be cut. */
  | 'cut'
  /** It never served. */
  | 'boot-failed'
  /** It served or drained, and died by itself or was killed for missing heartbeats. */
  | 'crashed'

/** Pure. */
export function exitKind({ stage, endReason, code }: ExitedWorker): ExitKind {
  switch (stage) {
    case 'booting':
      return endReason === NOT_WANTED ? 'planned' : 'boot-failed'
    case 'draining':
      if (endReason !== undefined) return 'cut'
      return code === 0 ? 'planned' : 'crashed'
    case 'ready':
      return 'crashed'
    default:
      return assertNever(stage)
  }
}

type GoneWorker = Pick<WorkerHandle, 'slot' | 'pid' | 'stage' | 'endReason' | 'bornAtMs' | 'bootFailure'>

export class ExitLog {
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

  /** Number of exits that the supervisor did not cause. */
  get unexpected(): number {
    return this.#unexpected
  }

  /** Deaths in a row of the slot with the most. */
  get inARow(): number {
    return Math.max(0, ...[...this.#backoffs.values()].map(({ deaths }) => deaths))
  }

  /** @param isRunning false during a shutdown, when no exit is unexpected */
  add(handle: GoneWorker, { code, signal }: Exit, isRunning: boolean): ExitKind {
    const { slot, pid, stage, endReason, bornAtMs } = handle
    const kind = exitKind({ stage, endReason, code })
    this.#log[levelOf(handle, kind, isRunning)]('WORKER_EXIT', {
      worker: slot,
      pid,
      code: code ?? undefined,
      signal: signal ?? undefined,
      reason: endReason ?? guessReason(signal),
    })
    if (kind === 'crashed' || kind === 'boot-failed') {
      if (isRunning) this.#unexpected++
      // The slot of a draining worker has another worker already.
      if (stage !== 'draining') this.#delayNext(slot, bornAtMs)
    }
    return kind
  }

  /** No process could be forked for the slot, which counts as a death. */
  recordForkFailure(slot: number): void {
    this.#delayNext(slot, this.#clock.nowMs())
  }

  #delayNext(slot: number, bornAtMs: number): void {
    const before = this.#backoffs.get(slot) ?? NO_BACKOFF
    this.#backoffs.set(slot, afterDeath(before, bornAtMs, this.#clock.nowMs()))
  }
}

/** `debug` if another line reports the exit already, or nothing was lost. */
function levelOf(
  { stage, bootFailure }: GoneWorker,
  kind: ExitKind,
  isRunning: boolean,
): 'error' | 'warn' | 'info' | 'debug' {
  if (kind === 'planned') return stage === 'booting' ? 'debug' : 'info'
  if (bootFailure !== undefined) return 'debug'
  if (kind === 'cut') return 'warn'
  if (isRunning) return 'error'
  return stage === 'booting' ? 'debug' : 'warn'
}

/** Guesses the sender of a signal that the supervisor did not send; often it is the kernel. */
function guessReason(signal: string | null): string | undefined {
  return signal === 'SIGKILL' ? 'killed: perhaps out of memory' : undefined
}
