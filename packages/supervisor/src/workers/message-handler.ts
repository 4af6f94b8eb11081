// Handles the messages of workers: updates the handle of the worker, or passes the message on to the component that
// needs it.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Clock } from '@reverse-proxy/shared/clock'
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'
import type {
  OffenceReport,
  PasswordCheck,
  PasswordVerdict,
  WorkerStart,
  WorkerToSupervisor,
} from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { TrafficCounts } from '@reverse-proxy/shared/traffic-counts'
import type { RateLimitAuthority } from '../rate-limit/authority.ts'
import type { WorkerHandle } from './handle.ts'
import { recycleAtMs } from './worker-view.ts'

export interface MessageHandlerOptions {
  /** See watch.ts. */
  readonly clock: Clock
  readonly log: Log
  /** The state that a worker begins with; called when it has booted. */
  readonly startOf: (slot: number) => WorkerStart
  readonly recycle: () => RecycleLimits
  /** Receives the counts of a worker since its last heartbeat. */
  readonly onCounts: (counts: TrafficCounts) => void
  /** The authority that leases tokens to workers. */
  readonly rateLimits: Pick<RateLimitAuthority, 'request' | 'forgetWorker'>
  readonly onOffences: (offences: OffenceReport['offences']) => void
  /** Never rejects. */
  readonly verifyPassword: (check: PasswordCheck) => Promise<PasswordVerdict>
  /** The fleet changed: the loop should converge. */
  readonly onChange: () => void
}

export class MessageHandler {
  readonly #options: MessageHandlerOptions

  constructor(options: MessageHandlerOptions) {
    this.#options = options
  }

  receive(handle: WorkerHandle, message: WorkerToSupervisor): void {
    const { startOf, rateLimits, onChange } = this.#options
    switch (message.type) {
      case 'booted':
        // A drain may have been sent before the worker had booted.
        if (handle.stage === 'booting') handle.start(startOf(handle.slot))
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
      case 'heartbeat':
        this.#onHeartbeat(handle, message)
        break
      case 'stopped-accepting':
        handle.accepting = false
        onChange()
        break
      case 'certificates-served':
        handle.served = message.listeners
        break
      case 'lease-request':
        rateLimits.request(handle.id, message, (grant) => handle.grant(grant))
        break
      case 'offences':
        this.#options.onOffences(message.offences)
        break
      case 'password-check':
        void this.#answer(handle, message)
        break
      default:
        assertNever(message)
    }
  }

  async #answer(handle: WorkerHandle, check: PasswordCheck): Promise<void> {
    const verdict = await this.#options.verifyPassword(check)
    handle.answer({ type: 'password-answer', seq: check.seq, verdict })
  }

  #onReady(handle: WorkerHandle): void {
    if (handle.stage !== 'booting') return
    const { clock, log, onChange } = this.#options
    handle.stage = 'ready'
    handle.deadlineMs = Infinity
    handle.lastHeartbeatMs = clock.nowMs()
    log.info('WORKER_READY', { worker: handle.slot, pid: handle.pid })
    onChange()
  }

  #onHeartbeat(
    handle: WorkerHandle,
    { load, counts }: Extract<WorkerToSupervisor, { type: 'heartbeat' }>,
  ): void {
    const { clock, recycle, onCounts, onChange } = this.#options
    handle.lastHeartbeatMs = clock.nowMs()
    handle.load = load
    onCounts(counts)
    if (recycleAtMs(handle, recycle()) <= handle.lastHeartbeatMs) onChange()
  }
}
