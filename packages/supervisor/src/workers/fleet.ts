// All workers: forks, drains and kills them as workers/plan.ts decides, and sends every running worker the same state
// (config, certificates, challenges), which the supervisor owns.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Clock } from '@reverse-proxy/shared/clock'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { WorkerUpdate } from '@reverse-proxy/shared/ipc/messages'
import { describeBootFailure } from './boot-failure.ts'
import type { Exit } from './exit-log.ts'
import { ExitLog } from './exit-log.ts'
import { forkWorker } from './worker-process.ts'
import { isCurrent, planWorkers, type Action } from './plan.ts'
import type { UpdateOutcome, WorkerHandle } from './handle.ts'
import type { MessageHandlerOptions } from './message-handler.ts'
import { MessageHandler } from './message-handler.ts'
import { RollingRestart } from './rolling-restart.ts'
import { WatchClock } from './watch.ts'

/** Time after its drain limit before a worker is killed, in which it flushes its log. */
const DRAIN_GRACE_MS = 1_500
/** Longest time between two looks at the fleet, while workers boot or drain and while all serve: see watch.ts. */
const BUSY_LOOK_MS = 100
const QUIET_LOOK_MS = 1_000

/** State of a roll: it replaces workers, or waits because too many old generations drain. */
export type RollState = 'replacing' | 'waiting'

export interface FleetOptions extends Omit<MessageHandlerOptions, 'clock'> {
  /** Monotonic. */
  readonly clock: Clock
  readonly workers: number
  /** How many may boot at a time: the processors of the machine. */
  readonly bootsAtOnce: number
  readonly drainTimeoutMs: () => number
  /** A worker ended before it was ready. */
  readonly onBootFailed: (error: ProxyError) => void
}

export class Fleet {
  readonly #options: FleetOptions
  readonly #clock: WatchClock
  readonly #messages: MessageHandler
  /** By their id: a process that was never created has no pid. */
  readonly #handles = new Map<number, WorkerHandle>()
  readonly #exits: ExitLog
  readonly #rolling: RollingRestart
  #size: number
  #running = true
  #wakeAtMs: number | undefined
  /** Workers that could not start and whose reason is still being determined. */
  #unexplained = 0

  constructor(options: FleetOptions) {
    this.#options = options
    this.#size = options.workers
    const clock = (this.#clock = new WatchClock(options.clock))
    this.#messages = new MessageHandler({ ...options, clock })
    this.#exits = new ExitLog(clock, options.log)
    this.#rolling = new RollingRestart(clock, options.log)
  }

  /** The clock of every time in a worker's handle. */
  get clock(): Clock {
    return this.#clock
  }

  /** Workers wanted. */
  get size(): number {
    return this.#size
  }

  /** Every worker that has not exited, draining ones included, ordered by slot. */
  get workers(): readonly WorkerHandle[] {
    return [...this.#handles.values()].toSorted((a, b) => a.slot - b.slot || a.generation - b.generation)
  }

  /** Counts up with each rolling restart. */
  get generation(): number {
    return this.#rolling.wanted.generation
  }

  /** Undefined: no worker needs to be replaced. */
  get roll(): RollState | undefined {
    if (this.#rolling.isWaiting) return 'waiting'
    return this.#readySlots(({ generation }) => !isCurrent(generation, this.#rolling.wanted)) > 0
      ? 'replacing'
      : undefined
  }

  /** Number of exits that the supervisor did not cause. */
  get unexpectedExits(): number {
    return this.#exits.unexpected
  }

  /** When `converge` must be called again at the latest (ms, the clock of the options). */
  get wakeAtMs(): number | undefined {
    return this.#wakeAtMs
  }

  get isEmpty(): boolean {
    return this.#handles.size === 0
  }

  /** Number of slots that have a worker that serves. */
  get readySize(): number {
    return this.#readySlots(() => true)
  }

  get isReady(): boolean {
    return this.readySize >= this.#size
  }

  /** No worker listens: node:cluster has closed the sockets that the workers shared. */
  get hasNoReadyWorker(): boolean {
    return this.readySize === 0
  }

  /** Deaths in a row of the slot with the most: distinguishes a start that cannot succeed from a single failure. */
  get deathsInARow(): number {
    return this.#exits.inARow
  }

  /** Pending messages of workers must have been read first: see IntentQueue. */
  converge(): void {
    this.#clock.pause()
    const wanted = {
      ...this.#rolling.wanted,
      workers: this.#size,
      recycle: this.#options.recycle(),
      running: this.#running,
      forksSuspended: this.#unexplained > 0,
      bootsAtOnce: this.#options.bootsAtOnce,
    }
    const plan = planWorkers(wanted, [...this.#handles.values()], this.#exits.backoffs, this.#clock.nowMs())
    for (const action of plan.actions) this.#act(action)
    // Forked, drained and cut workers have new deadlines: plan again.
    if (plan.actions.length > 0) this.#options.onChange()
    this.#rolling.waitFor(plan.awaited)
    // Checked here, because a smaller size may complete the fleet without a new worker.
    const fresh = this.#readySlots(({ generation }) => isCurrent(generation, wanted))
    if (fresh >= this.#size) this.#rolling.succeed()
    this.#lookAgain(plan.wakeAtMs)
  }

  /** Wakes before the plan needs it: short looks keep our own delays from counting as time of the workers. */
  #lookAgain(planWakeAtMs: number | undefined): void {
    const isBusy = [...this.#handles.values()].some(({ stage }) => stage !== 'ready')
    const wakeAtMs = planWakeAtMs ?? Infinity
    const lookMs = this.isEmpty ? Infinity : isBusy ? BUSY_LOOK_MS : QUIET_LOOK_MS
    const untilMs = this.#clock.resume(Math.min(wakeAtMs - this.#clock.nowMs(), lookMs))
    this.#wakeAtMs = untilMs === Infinity ? undefined : untilMs
  }

  /** See Broadcast. */
  async broadcast(update: WorkerUpdate): Promise<readonly UpdateOutcome[]> {
    const running = [...this.#handles.values()].filter((handle) => handle.started && !handle.killed)
    return await Promise.all(running.map(async (handle) => await handle.update(update)))
  }

  /** Takes effect with the next `converge`. */
  resize(workers: number): void {
    this.#size = workers
  }

  /**
   * Replaces every worker, one after the other, as the loop converges. Resolves when the last fresh worker is ready.
   * Rejects with ProxyError WORKER_BOOT or BIND when one cannot start: the roll stops then, and the workers of older
   * generations stay. One `replace` or `fill` at a time: callers serialise.
   */
  async replace(): Promise<void> {
    await this.#rolling.roll(this.#options.onChange)
  }

  /** Resolves when the wanted number of workers serves. Rejects as `replace` does; the loop keeps trying. */
  async fill(): Promise<void> {
    await this.#rolling.fill(this.#options.onChange)
  }

  /** Forks no more workers; the running ones finish and exit. */
  drain(): void {
    this.#running = false
    this.#rolling.fail(this.generation, new ProxyError('WORKER_BOOT', 'the supervisor is stopping'))
  }

  /** Like `drain`, without time to finish. */
  cut(reason: string): void {
    this.drain()
    for (const handle of this.#handles.values()) {
      // A worker that has bound nothing has no connection to lose.
      if (handle.stage === 'booting' && !handle.started) handle.kill(reason)
      else this.#cut(handle, reason)
    }
  }

  #readySlots(isCounted: (handle: WorkerHandle) => boolean): number {
    const ready = [...this.#handles.values()].filter(
      (handle) => handle.stage === 'ready' && isCounted(handle),
    )
    return new Set(ready.map((handle) => handle.slot)).size
  }

  #act(action: Action): void {
    switch (action.type) {
      case 'fork':
        this.#fork(action.slot, action.generation)
        break
      case 'drain': {
        const timeoutMs = this.#options.drainTimeoutMs()
        this.#withPid(action.pid)?.drain(timeoutMs, this.#deadlineMs(timeoutMs))
        break
      }
      case 'cut': {
        const handle = this.#withPid(action.pid)
        if (handle !== undefined) this.#cut(handle, action.reason)
        break
      }
      case 'kill':
        this.#withPid(action.pid)?.kill(action.reason)
        break
      default:
        assertNever(action)
    }
  }

  #cut(handle: WorkerHandle, reason: string): void {
    handle.cut(reason, this.#deadlineMs(0))
  }

  /** When to kill a worker that must end within `timeoutMs`. */
  #deadlineMs(timeoutMs: number): number {
    return this.#clock.nowMs() + timeoutMs + DRAIN_GRACE_MS
  }

  #withPid(pid: number): WorkerHandle | undefined {
    return [...this.#handles.values()].find((handle) => handle.pid === pid)
  }

  #fork(slot: number, generation: number): void {
    try {
      const handle = forkWorker({
        slot,
        generation,
        nowMs: this.#clock.nowMs(),
        onMessage: (from, message) => this.#messages.receive(from, message),
        onExit: (gone, exit) => this.#onExit(gone, exit),
        onForkFailed: (gone, error) => {
          if (this.#forget(gone)) this.#onForkFailed(slot, generation, error)
        },
      })
      this.#handles.set(handle.id, handle)
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error
      this.#onForkFailed(slot, generation, error)
    }
  }

  #onForkFailed(slot: number, generation: number, error: ProxyError): void {
    this.#exits.recordForkFailure(slot)
    this.#onBootFailed(generation, error)
  }

  #onExit(handle: WorkerHandle, exit: Exit): void {
    this.#forget(handle)
    const kind = this.#exits.add(handle, exit, this.#running)
    if (kind === 'boot-failed' && this.#running) void this.#explainBootFailure(handle)
    this.#options.onChange()
  }

  async #explainBootFailure({ generation, bootFailure }: WorkerHandle): Promise<void> {
    this.#unexplained++
    const error = await describeBootFailure(bootFailure)
    this.#unexplained--
    this.#onBootFailed(generation, error)
  }

  #onBootFailed(generation: number, error: ProxyError): void {
    this.#rolling.fail(generation, error)
    this.#options.onBootFailed(error)
    this.#options.onChange()
  }

  /** Returns false if the worker was forgotten before. */
  #forget(handle: WorkerHandle): boolean {
    handle.onExit()
    this.#options.rateLimits.forgetWorker(handle.id)
    return this.#handles.delete(handle.id)
  }
}
