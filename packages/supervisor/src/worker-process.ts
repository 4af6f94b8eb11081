// How a worker process is started: which program, with which flags, as which account.
import cluster from 'node:cluster'
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { Account } from './account.ts'
import { workerFlags } from './runtime.ts'

/** Call once, before the first fork. */
export function prepareWorkerProcess(config: Config, account: Account | undefined): void {
  // The workers accept from one shared socket. Round robin spreads bursts more evenly, but a connection
  // that is being handed to a worker which closes or is killed at that moment hangs until the supervisor
  // ends; and each hand-out costs the supervisor 0.1 ms of CPU.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const entry = realpathSync(fileURLToPath(import.meta.resolve('@reverse-proxy/worker')))
  cluster.setupPrimary({
    exec: entry,
    args: [],
    execArgv: workerFlags(readableFor(entry), config.logging.filePath, process.allowedNodeEnvironmentFlags),
    // Certificates travel as Buffers inside messages.
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    ...account,
  })
}

/** A worker's code: its package, the shared package beside it, and every node_modules above it. */
function readableFor(entry: string): string[] {
  const workerRoot = dirname(dirname(entry))
  const sharedRoot = realpathSync(join(workerRoot, 'node_modules/@reverse-proxy/shared'))
  const paths = [workerRoot, sharedRoot]
  for (let folder = dirname(workerRoot); folder !== dirname(folder); folder = dirname(folder)) {
    const modules = join(folder, 'node_modules')
    if (existsSync(modules)) paths.push(modules)
  }
  return paths.map((path) => `${path}/*`)
}
