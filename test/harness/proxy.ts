// The real program, run as a user runs it: a configuration file, a child process, its log.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { stringify } from 'smol-toml'
import { temporaryDirectory } from './directory.ts'
import type { ProgramOptions } from './program.ts'
import { Program } from './program.ts'
import { childrenOf, commandLineOf } from './processes.ts'

/** The built program: what a deployed package runs. */
export const PROGRAM = join(import.meta.dirname, '../../packages/supervisor/dist/main.js')

/** A configuration as the file spells it. */
export type FileConfig = Readonly<Record<string, unknown>>

export interface ProxyOptions extends ProgramOptions {
  /** Instead of a new temporary one: for a second start on the same state. */
  readonly directory?: string
  readonly args?: readonly string[]
  /** For the runtime, before the program. */
  readonly execArgv?: readonly string[]
}

export class Proxy extends Program {
  /** Holds the configuration, the state and the admin socket. */
  readonly directory: string
  readonly configPath: string

  constructor(t: TestContext, config: FileConfig, options: ProxyOptions = {}) {
    const directory = options.directory ?? temporaryDirectory(t)
    const configPath = writeConfig(directory, config)
    super(
      t,
      process.execPath,
      [...(options.execArgv ?? []), PROGRAM, '--config', configPath, ...(options.args ?? [])],
      options,
    )
    this.directory = directory
    this.configPath = configPath
  }

  get stateDir(): string {
    return stateDirOf(this.directory)
  }

  /** Process ids of the workers; systemd-notify, which comes and goes, is none. */
  workerPids(): number[] {
    return childrenOf(this.pid).filter((pid) => commandLineOf(pid).includes('/worker/'))
  }

  /** Resolves when traffic is served. */
  async ready(timeoutMs?: number): Promise<void> {
    await this.stdout.waitForLine(/ INFO READY |"event":"READY"/, timeoutMs)
  }
}

/** Starts the program and resolves when it serves. */
export async function startProxy(t: TestContext, config: FileConfig, options?: ProxyOptions): Promise<Proxy> {
  const proxy = new Proxy(t, config, options)
  await proxy.ready()
  return proxy
}

/** Writes a configuration whose every path lies inside `directory`; returns its path. */
export function writeConfig(directory: string, config: FileConfig): string {
  const path = join(directory, 'config.toml')
  const complete = {
    workers: 2,
    state_dir: stateDirOf(directory),
    admin_socket_path: join(directory, 'admin.sock'),
    health_check_port: 0,
    shutdown_timeout_secs: 5,
    rate_limit: { requests_per_second: 1_000_000, burst: 1_000_000 },
    body: { limit_bytes: 1024 * 1024 },
    ...config,
  }
  writeFileSync(path, stringify(complete))
  return path
}

function stateDirOf(directory: string): string {
  return join(directory, 'state')
}
