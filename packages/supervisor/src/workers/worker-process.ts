// How a worker process is started: its program, its flags and its account.
import cluster from 'node:cluster'
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Config } from '@reverse-proxy/shared/config/config'
import type { Account } from '../os/account.ts'
import { assertProgramReadable } from '../os/program-access.ts'
import { workerFlags } from '../os/runtime.ts'

/** Files that a worker reads to resolve the names of upstreams. */
const NAME_FILES = ['/etc/hosts', '/etc/resolv.conf'] as const

/** Call before the first fork, and again when the configuration changes. Throws CONFIG. */
export function prepareWorkerProcess(config: Config, account: Account | undefined): void {
  // The workers accept from one shared socket. Round robin spreads bursts more evenly, but a connection
  // that is being handed to a worker which closes or is killed at that moment hangs until the supervisor
  // ends; and each hand-out costs the supervisor 0.1 ms of CPU.
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
