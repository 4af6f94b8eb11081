// All workers: forks, drains and kills them as workers/plan.ts says, and brings every running one
// to the same state. What that state is (config, certificates, challenges) is the supervisor's.
import cluster from 'node:cluster'
import type { Worker } from 'node:cluster'
import type { Clock } from '@reverse-proxy/shared/clock'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { BootFailure, Push, WorkerStart, WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Backoff } from './backoff.ts'
import { NO_BACKOFF, afterDeath } from './backoff.ts'
import type { PushOutcome } from './handle.ts'
import { WorkerHandle } from './handle.ts'
import type { Action } from './plan.ts'
import { planWorkers } from './plan.ts'

const BOOT_TIMEOUT_MS = 30_000
/** How much longer than its drain a worker may take before it is killed. */
const DRAIN_GRACE_MS = 1_000

export interface FleetOptions {
  readonly workers: number
  readonly clock: Clock
  readonly log: Log
  /** The state a worker begins with, asked for when it has booted. */
  readonly startOf: (slot: number) => WorkerStart
  readonly drainTimeoutMs: () => number
  /** Anything changed: the loop should converge. */
  readonly onChange: () => void
  readonly onBootFailed: (failure: BootFailure) => void
}

export class Fleet {
  readonly #options: FleetOptions
  readonly #handles = new Map<number, WorkerHandle>()
  readonly #backoffs = new Map<number, Backoff>()
  #running = true
  #generation = 1
  #wakeAtMs: number | undefined

  constructor(options: FleetOptions) {
    this.#options = options
  }

  /** When `converge` wants to be called again at the latest (wall clock, ms). */
  get wakeAtMs(): number | undefined {
    return this.#wakeAtMs
  }

  get isEmpty(): boolean {
    return this.#handles.size === 0
  }

  /** Every slot is filled by a worker that serves. */
  get isReady(): boolean {
    const slots = new Set<number>()
    for (const handle of this.#handles.values()) if (handle.stage === 'ready') slots.add(handle.slot)
    return slots.size >= this.#options.workers
  }

  /** Deaths in a row of the worst slot: how a start that cannot succeed is told from one hiccup. */
  get deathsInARow(): number {
    return Math.max(0, ...[...this.#backoffs.values()].map((backoff) => backoff.deaths))
  }

  converge(): void {
    const { workers, clock } = this.#options
    const wanted = { workers, generation: this.#generation, running: this.#running }
    const plan = planWorkers(wanted, [...this.#handles.values()], this.#backoffs, clock.nowMs())
    this.#wakeAtMs = plan.wakeAtMs
    for (const action of plan.actions) this.#act(action)
  }

  /** Push to every running worker; a worker that starts later begins with the state as it is then. */
  async broadcast(push: Push): Promise<readonly PushOutcome[]> {
    const running = [...this.#handles.values()].filter((handle) => handle.started && !handle.killed)
    return await Promise.all(running.map((handle) => handle.push(push)))
  }

  /** No more workers; those that are there finish and go. */
  drain(): void {
    this.#running = false
  }

  cut(reason: string): void {
    this.#running = false
    for (const handle of this.#handles.values()) handle.kill(reason)
  }

  #act(action: Action): void {
    switch (action.type) {
      case 'fork':
        this.#fork(action.slot, action.generation)
        break
      case 'drain': {
        const timeoutMs = this.#options.drainTimeoutMs()
        const deadlineMs = this.#options.clock.nowMs() + timeoutMs + DRAIN_GRACE_MS
        this.#handles.get(action.pid)?.drain(timeoutMs, deadlineMs)
        break
      }
      case 'kill':
        this.#handles.get(action.pid)?.kill(action.reason)
        break
      default:
        assertNever(action)
    }
  }

  #fork(slot: number, generation: number): void {
    const worker = cluster.fork()
    const handle = new WorkerHandle(worker, slot, generation, this.#options.clock.nowMs(), BOOT_TIMEOUT_MS)
    this.#handles.set(handle.pid, handle)
    worker.on('message', (message: WorkerToSupervisor) => this.#onMessage(handle, message))
    worker.on('exit', (code, signal) => this.#onExit(worker, handle, code, signal))
  }

  #onMessage(handle: WorkerHandle, message: WorkerToSupervisor): void {
    switch (message.type) {
      case 'booted':
        handle.start(this.#options.startOf(handle.slot))
        break
      case 'ready':
        if (handle.stage === 'booting') {
          handle.stage = 'ready'
          handle.deadlineMs = Infinity
        }
        this.#options.log.info('WORKER_READY', { worker: handle.slot, pid: handle.pid })
        this.#options.onChange()
        break
      case 'boot-failed':
        handle.endReason = 'could not start'
        this.#options.onBootFailed(message.failure)
        break
      case 'ack':
        handle.onAck(message.seq, message.error)
        break
      default:
        assertNever(message)
    }
  }

  #onExit(worker: Worker, handle: WorkerHandle, code: number | null, signal: string | null): void {
    const { clock, log, onChange } = this.#options
    this.#handles.delete(handle.pid)
    worker.removeAllListeners('message')
    handle.onExit()
    const fields = {
      worker: handle.slot,
      pid: handle.pid,
      code: code ?? undefined,
      signal: signal ?? undefined,
      reason: handle.endReason,
    }
    if (handle.stage === 'draining' && code === 0) {
      log.info('WORKER_EXIT', fields)
    } else {
      log[this.#running ? 'error' : 'warn']('WORKER_EXIT', fields)
      const previous = this.#backoffs.get(handle.slot) ?? NO_BACKOFF
      this.#backoffs.set(handle.slot, afterDeath(previous, handle.bornAtMs, clock.nowMs()))
    }
    onChange()
  }
}
