// Starts worker processes with node:cluster: their program, flags and account, and the fork. A fork reports either the
// exit of its process or that no process could be created: exactly one of the two, once.
import cluster from 'node:cluster'
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import { assertProgramReadable, type Account } from '../os/account.ts'
import { workerFlags } from '../os/runtime.ts'
import type { Exit } from './exit-log.ts'
import { WorkerHandle } from './handle.ts'

/** Files that a worker reads to resolve the names of upstreams. */
const NAME_FILES = ['/etc/hosts', '/etc/resolv.conf'] as const

/** Call before the first fork, and again when the configuration changes. Throws CONFIG. */
export function prepareWorkerProcess(config: Config, account: Account | undefined): void {
  // The workers accept from one shared socket. Rejected: round robin, which spreads bursts more evenly. A connection that
  // is handed to a worker that stops at that moment hangs until the supervisor ends, and each costs the supervisor
  // 0.1 ms of CPU.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const entry = realFile(import.meta.resolve('@reverse-proxy/worker'))
  const folders = codeFoldersOf(entry)
  if (account !== undefined) assertProgramReadable(folders, account)
  cluster.setupPrimary({
    exec: entry,
    args: [],
    execArgv: workerFlags(
      [...folders.map((folder) => `${folder}/*`), ...NAME_FILES],
      config.logging.filePath,
      process.allowedNodeEnvironmentFlags,
    ),
    // Certificates travel as Buffers inside messages.
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    ...account,
  })
}

/** A worker's code: its package, the shared package, and every node_modules above it. */
function codeFoldersOf(entry: string): string[] {
  const workerRoot = packageRootOf(entry)
  const folders = [workerRoot, packageRootOf(realFile(import.meta.resolve('@reverse-proxy/shared/clock')))]
  for (let folder = dirname(workerRoot); folder !== dirname(folder); folder = dirname(folder)) {
    const modules = join(folder, 'node_modules')
    if (existsSync(modules)) folders.push(modules)
  }
  return folders
}

function realFile(url: string): string {
  return realpathSync(fileURLToPath(url))
}

/** Both packages are built to `dist`. */
function packageRootOf(file: string): string {
  return dirname(dirname(file))
}

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
    hint: 'check the limits on processes and open files, and that the program has not been moved or removed',
  })
}
