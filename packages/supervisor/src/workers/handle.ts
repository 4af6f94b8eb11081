// One worker process as the supervisor knows it: its stage, its deadlines and the updates it has not acknowledged.
// Decides nothing; workers/plan.ts does.
import type { Worker } from 'node:cluster'
import type {
  BootFailure,
  LeaseGrant,
  PasswordAnswer,
  ServedSerials,
  SupervisorToWorker,
  WorkerLoad,
  WorkerStart,
  WorkerUpdate,
} from '@reverse-proxy/shared/ipc/messages'
import type { WorkerStage, WorkerView } from './worker-view.ts'

/** The outcome of one update. `gone`: the worker died first, and its replacement starts with the new state. */
export type UpdateOutcome = { readonly pid: number; readonly slot: number } & (
  | { readonly result: 'done' | 'gone' }
  | { readonly result: 'refused'; readonly error: string }
)

/** Brings every running worker to the same state; a worker that starts later begins with the state as it is then. */
export type Broadcast = (update: WorkerUpdate) => Promise<readonly UpdateOutcome[]>

export class WorkerHandle implements WorkerView {
  readonly slot: number
  readonly generation: number
  readonly bornAtMs: number
  stage: WorkerStage = 'booting'
  deadlineMs: number
  lastHeartbeatMs: number
  accepting = true
  readonly jitter = Math.random()
  wasCut = false
  killed = false
  /** Why the supervisor ended it, for the log line of its exit. */
  endReason: string | undefined
  /** The failure that it reported before it exited. */
  bootFailure: BootFailure | undefined
  /** As reported with its last heartbeat. */
  load: WorkerLoad | undefined
  /** The certificates that it reports to serve. */
  served: readonly ServedSerials[] = []
  /** It has been sent `start` and accepts updates. */
  started = false

  readonly #worker: Worker
  readonly #pending = new Map<number, (outcome: UpdateOutcome) => void>()
  #seq = 0

  constructor(worker: Worker, slot: number, generation: number, bornAtMs: number, bootTimeoutMs: number) {
    this.#worker = worker
    this.slot = slot
    this.generation = generation
    this.bornAtMs = bornAtMs
    this.deadlineMs = bornAtMs + bootTimeoutMs
    this.lastHeartbeatMs = bornAtMs
    // Ignore failed sends to a worker that has died: its exit is handled.
    worker.on('error', () => {})
  }

  get rssBytes(): number {
    return this.load?.rssBytes ?? 0
  }

  get pid(): number {
    return this.#worker.process.pid ?? -1
  }

  /** Never reused, unlike a pid. */
  get id(): number {
    return this.#worker.id
  }

  start(start: WorkerStart): void {
    this.started = true
    this.#send({ type: 'start', start })
  }

  /** Resolves when the worker has applied it, refused it, or is gone; never rejects. */
  async update(update: WorkerUpdate): Promise<UpdateOutcome> {
    const seq = ++this.#seq
    return await new Promise<UpdateOutcome>((resolve) => {
      this.#pending.set(seq, resolve)
      this.#send({ type: 'update', seq, update })
    })
  }

  onAck(seq: number, error: string | undefined): void {
    const settle = this.#pending.get(seq)
    this.#pending.delete(seq)
    const { pid, slot } = this
    settle?.(error === undefined ? { pid, slot, result: 'done' } : { pid, slot, result: 'refused', error })
  }

  grant(grant: LeaseGrant): void {
    this.#send(grant)
  }

  answer(answer: PasswordAnswer): void {
    this.#send(answer)
  }

  drain(timeoutMs: number, deadlineMs: number): void {
    this.stage = 'draining'
    this.deadlineMs = deadlineMs
    this.#send({ type: 'drain', timeoutMs })
  }

  /** Ends the worker now: it closes WebSockets with a close frame, cuts requests in flight and writes its log. */
  cut(reason: string, deadlineMs: number): void {
    this.wasCut = true
    this.endReason ??= reason
    this.drain(0, deadlineMs)
  }

  kill(reason: string): void {
    this.killed = true
    this.endReason ??= reason
    // Not worker.kill(): that waits for a disconnect, which a blocked worker never gives (node#22703).
    this.#worker.process.kill('SIGKILL')
  }

  onExit(): void {
    const { pid, slot } = this
    for (const settle of this.#pending.values()) settle({ pid, slot, result: 'gone' })
    this.#pending.clear()
  }

  #send(message: SupervisorToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message, () => {})
  }
}
