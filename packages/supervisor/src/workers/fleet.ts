// All workers: forks, drains and kills them as workers/plan.ts says, and brings every running one
// to the same state. What that state is (config, certificates, challenges) is the supervisor's.
import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Clock } from '@reverse-proxy/shared/clock'
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Push, WorkerStart, WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { TrafficCounts } from '@reverse-proxy/shared/traffic-counts'
import type { RateLimitAuthority } from '../rate-limit-authority.ts'
import { describeBootFailure } from './boot-failure.ts'
import { Deaths } from './deaths.ts'
import type { Ending } from './ending.ts'
import { endingOf } from './ending.ts'
import type { PushOutcome } from './handle.ts'
import { WorkerHandle } from './handle.ts'
import type { Action } from './plan.ts'
import { planWorkers } from './plan.ts'
import { recycleAtMs } from './recycling.ts'
import { Rolls } from './rolls.ts'

const BOOT_TIMEOUT_MS = 30_000
/** How much longer than its drain a worker may take before it is killed: it writes its log to the end. */
const DRAIN_GRACE_MS = 1_500
/** When we act so much later than we meant to, it is not the workers who were silent. */
const LATE_MS = 1_000

export interface FleetOptions {
  readonly workers: number
  /** Monotonic: see monotonic-clock.ts. */
  readonly clock: Clock
  readonly log: Log
  /** The state a worker begins with, asked for when it has booted. */
  readonly startOf: (slot: number) => WorkerStart
  readonly drainTimeoutMs: () => number
  readonly recycle: () => RecycleLimits
  /** What a worker has counted since it last said so. */
  readonly onCounts: (counts: TrafficCounts) => void
  /** Who leases the workers what clients may spend. */
  readonly rateLimits: Pick<RateLimitAuthority, 'request' | 'forgetWorker'>
  /** Anything changed: the loop should converge. */
  readonly onChange: () => void
  /** A worker ended before it was ready. */
  readonly onBootFailed: (error: ProxyError) => void
}

export class Fleet {
  readonly #options: FleetOptions
  /** By their id: a process that never began has no pid. */
  readonly #handles = new Map<number, WorkerHandle>()
  readonly #deaths = new Deaths()
  #size: number
  #running = true
  readonly #rolls = new Rolls()
  #wakeAtMs: number | undefined
  /** Workers that could not start, and whose reason is being looked for. */
  #unexplained = 0

  constructor(options: FleetOptions) {
    this.#options = options
    this.#size = options.workers
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
    return this.#rolls.generation
  }

  /** Deaths that nobody had asked for. */
  get unexpectedExits(): number {
    return this.#deaths.unexpected
  }

  /** When `converge` wants to be called again at the latest (ms). */
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
    return this.#deaths.inARow
  }

  converge(): void {
    const wanted = {
      workers: this.#size,
      generation: this.#rolls.generation,
      goodGenerations: this.#rolls.goodGenerations,
      recycle: this.#options.recycle(),
      running: this.#running,
      holdsForks: this.#unexplained > 0,
    }
    const nowMs = this.#options.clock.nowMs()
    this.#forgiveSilence(nowMs)
    const plan = planWorkers(wanted, [...this.#handles.values()], this.#deaths.backoffs, nowMs)
    this.#wakeAtMs = plan.wakeAtMs
    for (const action of plan.actions) this.#act(action)
    // Here, because a fleet that has become smaller needs no further worker to be complete.
    const fresh = this.#readySlots(({ generation }) => generation === this.#rolls.generation)
    if (fresh >= this.#size) this.#rolls.succeed()
  }

  /**
   * After we have been stopped ourselves, or the whole machine was: what the workers said meanwhile has not been
   * read yet, and none is to be killed for it.
   */
  #forgiveSilence(nowMs: number): void {
    if (this.#wakeAtMs === undefined || nowMs < this.#wakeAtMs + LATE_MS) return
    for (const handle of this.#handles.values()) handle.lastBeatMs = nowMs
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
   * and whoever is of an older generation stays. One at a time: callers serialise.
   */
  async roll(): Promise<void> {
    await this.#rolls.begin(this.#options.onChange)
  }

  /** No more workers; those that are there finish and go. */
  drain(): void {
    this.#running = false
    this.#rolls.fail(this.#rolls.generation, new ProxyError('WORKER_BOOT', 'the supervisor is stopping'))
  }

  cut(reason: string): void {
    this.drain()
    for (const handle of this.#handles.values()) handle.kill(reason)
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
        const deadlineMs = this.#options.clock.nowMs() + timeoutMs + DRAIN_GRACE_MS
        this.#withPid(action.pid)?.drain(timeoutMs, deadlineMs)
        break
      }
      case 'kill':
        this.#withPid(action.pid)?.kill(action.reason)
        break
      default:
        assertNever(action)
    }
  }

  #withPid(pid: number): WorkerHandle | undefined {
    return [...this.#handles.values()].find((handle) => handle.pid === pid)
  }

  #fork(slot: number, generation: number): void {
    let worker: Worker
    try {
      worker = cluster.fork()
    } catch (error) {
      this.#onForkFailed(slot, generation, error)
      return
    }
    const handle = new WorkerHandle(worker, slot, generation, this.#options.clock.nowMs(), BOOT_TIMEOUT_MS)
    this.#handles.set(handle.id, handle)
    worker.on('message', (message: WorkerToSupervisor) => this.#onMessage(handle, message))
    worker.on('exit', (code, signal) => this.#onExit(worker, handle, code, signal))
    worker.on('error', (error) => {
      // A process that never began has no exit. Any other error is of a message to one that has died.
      if (worker.process.pid !== undefined || !this.#handles.delete(handle.id)) return
      handle.onExit()
      this.#onForkFailed(slot, generation, error)
    })
  }

  /** The system gives no process: too many of them, too many files, a program that is not there any more. */
  #onForkFailed(slot: number, generation: number, cause: unknown): void {
    const error = new ProxyError('WORKER_BOOT', `no worker can be forked: ${messageOf(cause)}`, {
      cause,
      hint: 'look at the limits on processes and open files, and whether the program is still where it was',
    })
    const nowMs = this.#options.clock.nowMs()
    this.#deaths.delayNext(slot, nowMs, nowMs)
    this.#rolls.fail(generation, error)
    this.#options.onBootFailed(error)
    this.#options.onChange()
  }

  #onMessage(handle: WorkerHandle, message: WorkerToSupervisor): void {
    switch (message.type) {
      case 'booted':
        handle.start(this.#options.startOf(handle.slot))
        break
      case 'ready':
        this.#onReady(handle)
        break
      case 'boot-failed':
        handle.bootFailure = message.failure
        break
      case 'ack':
        handle.onAck(message.seq, message.error)
        break
      case 'beat':
        handle.lastBeatMs = this.#options.clock.nowMs()
        handle.load = message.load
        this.#options.onCounts(message.counts)
        if (recycleAtMs(handle, this.#options.recycle()) <= handle.lastBeatMs) this.#options.onChange()
        break
      case 'closed':
        handle.accepting = false
        this.#options.onChange()
        break
      case 'serving':
        handle.served = message.listeners
        break
      case 'lease-request':
        this.#options.rateLimits.request(handle.id, message, (grant) => handle.grant(grant))
        break
      default:
        assertNever(message)
    }
  }

  #onReady(handle: WorkerHandle): void {
    if (handle.stage !== 'booting') return
    handle.stage = 'ready'
    handle.deadlineMs = Infinity
    handle.lastBeatMs = this.#options.clock.nowMs()
    this.#options.log.info('WORKER_READY', { worker: handle.slot, pid: handle.pid })
    this.#options.onChange()
  }

  #onExit(worker: Worker, handle: WorkerHandle, code: number | null, signal: string | null): void {
    const { clock, log, onChange } = this.#options
    this.#handles.delete(handle.id)
    worker.removeAllListeners('message')
    handle.onExit()
    this.#options.rateLimits.forgetWorker(handle.id)
    const fields = {
      worker: handle.slot,
      pid: handle.pid,
      code: code ?? undefined,
      signal: signal ?? undefined,
      reason: handle.endReason ?? guessReason(signal),
    }
    const ending = endingOf({ stage: handle.stage, endReason: handle.endReason, code })
    log[this.#exitLevel(handle, ending)]('WORKER_EXIT', fields)
    if (ending === 'crashed' || ending === 'boot-failed') {
      if (this.#running) this.#deaths.countUnexpected()
      // A successor has long taken the place of one that drains.
      if (handle.stage !== 'draining') this.#deaths.delayNext(handle.slot, handle.bornAtMs, clock.nowMs())
    }
    if (ending === 'boot-failed' && this.#running) void this.#onBootFailed(handle)
    onChange()
  }

  /** What a worker has said itself is reported as that; and one that is not to start any more is no news. */
  #exitLevel({ stage, bootFailure }: WorkerHandle, ending: Ending): 'error' | 'warn' | 'info' | 'debug' {
    if (ending === 'planned') return stage === 'booting' ? 'debug' : 'info'
    if (bootFailure !== undefined) return 'debug'
    if (ending === 'cut') return 'warn'
    if (this.#running) return 'error'
    return stage === 'booting' ? 'debug' : 'warn'
  }

  async #onBootFailed(handle: WorkerHandle): Promise<void> {
    this.#unexplained++
    const error = await describeBootFailure(handle.bootFailure)
    this.#unexplained--
    this.#rolls.fail(handle.generation, error)
    this.#options.onBootFailed(error)
    this.#options.onChange()
  }
}

/** Nobody here sent it: as often as not it was the kernel. */
function guessReason(signal: string | null): string | undefined {
  return signal === 'SIGKILL' ? 'killed: perhaps out of memory' : undefined
}
