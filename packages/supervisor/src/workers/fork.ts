// Forks a worker process with node:cluster, and reports either its exit or that no process could be created: exactly
// one of the two, once.
import cluster from 'node:cluster'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import type { Exit } from './exit-log.ts'
import { WorkerHandle } from './handle.ts'

const BOOT_TIMEOUT_MS = 30_000

export interface ForkOptions {
  readonly slot: number
  readonly generation: number
  readonly nowMs: number
  readonly onMessage: (handle: WorkerHandle, message: WorkerToSupervisor) => void
  /** Called last. */
  readonly onExit: (handle: WorkerHandle, exit: Exit) => void
  /** Called instead of `onExit` when no process was created. WORKER_BOOT. */
  readonly onForkFailed: (handle: WorkerHandle, error: ProxyError) => void
}

/** @throws ProxyError WORKER_BOOT; most failures are reported later, to `onForkFailed` */
export function forkWorker({
  slot,
  generation,
  nowMs,
  onMessage,
  onExit,
  onForkFailed,
}: ForkOptions): WorkerHandle {
  const worker = forked()
  const handle = new WorkerHandle(worker, slot, generation, nowMs, BOOT_TIMEOUT_MS)
  worker.on('message', (message: WorkerToSupervisor) => onMessage(handle, message))
  worker.on('exit', (code, signal) => {
    worker.removeAllListeners('message')
    onExit(handle, { code, signal })
  })
  worker.on('error', (error) => {
    // A process that was never created has no exit. Other errors come from sends to a worker that has died.
    if (worker.process.pid === undefined) onForkFailed(handle, forkFailed(error))
  })
  return handle
}

function forked(): ReturnType<typeof cluster.fork> {
  try {
    return cluster.fork()
  } catch (error) {
    throw forkFailed(error)
  }
}

/** The system refuses to create a process: too many processes, too many files, or the program was removed. */
function forkFailed(cause: unknown): ProxyError {
  return new ProxyError('WORKER_BOOT', `no worker can be forked: ${messageOf(cause)}`, {
    cause,
    hint: 'look at the limits on processes and open files, and whether the program is still where it was',
  })
}
