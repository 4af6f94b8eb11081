// How a worker process comes into being, or does not, and how its end is learned of: what node:cluster says, once each.
import cluster from 'node:cluster'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import type { Exit } from './exits.ts'
import { WorkerHandle } from './handle.ts'

const BOOT_TIMEOUT_MS = 30_000

export interface ForkOptions {
  readonly slot: number
  readonly generation: number
  readonly nowMs: number
  readonly onMessage: (handle: WorkerHandle, message: WorkerToSupervisor) => void
  /** The last that is heard of it. */
  readonly onExit: (handle: WorkerHandle, exit: Exit) => void
  /** Instead of `onExit`: there never was a process. WORKER_BOOT. */
  readonly onUnborn: (handle: WorkerHandle, error: ProxyError) => void
}

/** @throws ProxyError WORKER_BOOT; most failures are heard of later, by `onUnborn` */
export function forkWorker({
  slot,
  generation,
  nowMs,
  onMessage,
  onExit,
  onUnborn,
}: ForkOptions): WorkerHandle {
  const worker = forked()
  const handle = new WorkerHandle(worker, slot, generation, nowMs, BOOT_TIMEOUT_MS)
  worker.on('message', (message: WorkerToSupervisor) => onMessage(handle, message))
  worker.on('exit', (code, signal) => {
    worker.removeAllListeners('message')
    onExit(handle, { code, signal })
  })
  worker.on('error', (error) => {
    // A process that never began has no exit. Any other error is of a message to one that has died.
    if (worker.process.pid === undefined) onUnborn(handle, unborn(error))
  })
  return handle
}

function forked(): ReturnType<typeof cluster.fork> {
  try {
    return cluster.fork()
  } catch (error) {
    throw unborn(error)
  }
}

/** The system gives no process: too many of them, too many files, a program that is not there any more. */
function unborn(cause: unknown): ProxyError {
  return new ProxyError('WORKER_BOOT', `no worker can be forked: ${messageOf(cause)}`, {
    cause,
    hint: 'look at the limits on processes and open files, and whether the program is still where it was',
  })
}
