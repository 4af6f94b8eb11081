// All workers: forks, drains and kills them as workers/plan.ts says, and brings every running one
// to the same state. What that state is (config, certificates, challenges) is the supervisor's.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Clock } from '@reverse-proxy/shared/clock'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Push } from '@reverse-proxy/shared/ipc/messages'
import { describeBootFailure } from './boot-failure.ts'
import type { Exit } from './exits.ts'
import { Exits } from './exits.ts'
import { forkWorker } from './fork.ts'
import { isCurrent } from './generations.ts'
import type { PushOutcome, WorkerHandle } from './handle.ts'
import type { InboxOptions } from './inbox.ts'
import { Inbox } from './inbox.ts'
import type { Action } from './plan.ts'
import { planWorkers } from './plan.ts'
import { Rolls } from './rolls.ts'
import { WatchClock } from './watch.ts'

/** How much longer than its drain a worker may take before it is killed: it writes its log to the end. */
const DRAIN_GRACE_MS = 1_500
/** How often the fleet is looked at while workers boot or drain, and while all serve: a turn that comes later is our own delay. */
const BUSY_LOOK_MS = 100
const QUIET_LOOK_MS = 1_000

/** State of a roll: it replaces workers, or waits because too many old generations drain. */
export type RollState = 'replacing' | 'waiting'

export interface FleetOptions extends Omit<InboxOptions, 'clock'> {
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
  readonly #inbox: Inbox
  /** By their id: a process that never began has no pid. */
  readonly #handles = new Map<number, WorkerHandle>()
  readonly #exits: Exits
  readonly #rolls: Rolls
  #size: number
  #running = true
  #wakeAtMs: number | undefined
  /** Workers that could not start, and whose reason is being looked for. */
  #unexplained = 0

  constructor(options: FleetOptions) {
    this.#options = options
    this.#size = options.workers
    const clock = (this.#clock = new WatchClock(options.clock))
    this.#inbox = new Inbox({ ...options, clock })
    this.#exits = new Exits(clock, options.log)
    this.#rolls = new Rolls(clock, options.log)
  }

  /** The clock of every time in a worker's handle. */
  get clock(): Clock {
    return this.#clock
  }

  /** Workers wanted. */
  get size(): number {
    return this.#size
  }

  /** Everyone who has not exited, in the order of their slots; draining ones too. */
  get workers(): readonly WorkerHandle[] {
    return [...this.#handles.values()].toSorted((a, b) => a.slot - b.slot || a.generation - b.generation)
  }

  /** One more for each rolling replacement. */
  get generation(): number {
    return this.#rolls.wanted.generation
  }

  /** Undefined: everyone who serves may stay. */
  get roll(): RollState | undefined {
    if (this.#rolls.isWaiting) return 'waiting'
    return this.#readySlots(({ generation }) => !isCurrent(generation, this.#rolls.wanted)) > 0
      ? 'replacing'
      : undefined
  }

  /** Deaths that nobody had asked for. */
  get unexpectedExits(): number {
    return this.#exits.unexpected
  }

  /** When `converge` wants to be called again at the latest (ms, the clock of the options). */
  get wakeAtMs(): number | undefined {
    return this.#wakeAtMs
  }

  get isEmpty(): boolean {
    return this.#handles.size === 0
  }

  /** How many slots are filled by a worker that serves. */
  get readySize(): number {
    return this.#readySlots(() => true)
  }

  get isReady(): boolean {
    return this.readySize >= this.#size
  }

  /** No worker listens: node:cluster has closed the sockets that they shared. */
  get isBare(): boolean {
    return this.#readySlots(() => true) === 0
  }

  /** Deaths in a row of the worst slot: how a start that cannot succeed is told from one hiccup. */
  get deathsInARow(): number {
    return this.#exits.inARow
  }

  /** Whatever the workers have said by now must have been read: see IntentQueue. */
  converge(): void {
    this.#clock.pause()
    const wanted = {
      ...this.#rolls.wanted,
      workers: this.#size,
      recycle: this.#options.recycle(),
      running: this.#running,
      holdsForks: this.#unexplained > 0,
      bootsAtOnce: this.#options.bootsAtOnce,
    }
    const plan = planWorkers(wanted, [...this.#handles.values()], this.#exits.backoffs, this.#clock.nowMs())
    for (const action of plan.actions) this.#act(action)
    // Forked, drained and cut workers have new deadlines that this plan does not know.
    if (plan.actions.length > 0) this.#options.onChange()
    this.#rolls.waitFor(plan.awaited)
    // Here, because a fleet that has become smaller needs no further worker to be complete.
    const fresh = this.#readySlots(({ generation }) => isCurrent(generation, wanted))
    if (fresh >= this.#size) this.#rolls.succeed()
    this.#lookAgain(plan.wakeAtMs)
  }

  /** Before the plan wants it even: the sooner the next look, the less of a delay of ours is taken for time. */
  #lookAgain(planWakeAtMs: number | undefined): void {
    const isBusy = [...this.#handles.values()].some(({ stage }) => stage !== 'ready')
    const wakeAtMs = planWakeAtMs ?? Infinity
    const lookMs = this.isEmpty ? Infinity : isBusy ? BUSY_LOOK_MS : QUIET_LOOK_MS
    const untilMs = this.#clock.resume(Math.min(wakeAtMs - this.#clock.nowMs(), lookMs))
    this.#wakeAtMs = untilMs === Infinity ? undefined : untilMs
  }

  /** See Broadcast. */
  async broadcast(push: Push): Promise<readonly PushOutcome[]> {
    const running = [...this.#handles.values()].filter((handle) => handle.started && !handle.killed)
    return await Promise.all(running.map(async (handle) => await handle.push(push)))
  }

  /** From the next `converge` on. */
  resize(workers: number): void {
    this.#size = workers
  }

  /**
   * Replaces every worker, one after the other, as the loop converges. Resolves when the last fresh one is
   * ready. Rejects with ProxyError WORKER_BOOT or BIND when one cannot start: the roll has stopped then,
   * and whoever is of an older generation stays. One `replace` or `fill` at a time: callers serialise.
   */
  async replace(): Promise<void> {
    await this.#rolls.roll(this.#options.onChange)
  }

  /** Resolves when as many workers serve as are wanted. Rejects as `replace` does; the loop goes on trying. */
  async fill(): Promise<void> {
    await this.#rolls.fill(this.#options.onChange)
  }

  /** No more workers; those that are there finish and go. */
  drain(): void {
    this.#running = false
    this.#rolls.fail(this.generation, new ProxyError('WORKER_BOOT', 'the supervisor is stopping'))
  }

  /** The same, but they have no time to finish in. */
  cut(reason: string): void {
    this.drain()
    for (const handle of this.#handles.values()) {
      // Nothing is lost with one that has bound nothing yet.
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

  /** When a worker is killed that has been told to end within `timeoutMs`. */
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
        onMessage: (from, message) => this.#inbox.receive(from, message),
        onExit: (gone, exit) => this.#onExit(gone, exit),
        onUnborn: (gone, error) => {
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
    this.#exits.addUnborn(slot)
    this.#onBootFailed(generation, error)
  }

  #onExit(handle: WorkerHandle, exit: Exit): void {
    this.#forget(handle)
    const ending = this.#exits.add(handle, exit, this.#running)
    if (ending === 'boot-failed' && this.#running) void this.#explainBootFailure(handle)
    this.#options.onChange()
  }

  async #explainBootFailure({ generation, bootFailure }: WorkerHandle): Promise<void> {
    this.#unexplained++
    const error = await describeBootFailure(bootFailure)
    this.#unexplained--
    this.#onBootFailed(generation, error)
  }

  #onBootFailed(generation: number, error: ProxyError): void {
    this.#rolls.fail(generation, error)
    this.#options.onBootFailed(error)
    this.#options.onChange()
  }

  /** Returns false if that has been done. */
  #forget(handle: WorkerHandle): boolean {
    handle.onExit()
    this.#options.rateLimits.forgetWorker(handle.id)
    return this.#handles.delete(handle.id)
  }
}
