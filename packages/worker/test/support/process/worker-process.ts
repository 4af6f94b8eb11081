// A worker in a process of its own, and the little that a supervisor has to tell it.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import type { LeaseGrant, LeaseRequest, WorkerConfig } from '@reverse-proxy/shared/ipc/messages'
import { freePort } from '../../../../../test/harness/ports.ts'
import { LIMITS, testCertificate } from '../site-server.ts'
import { startMessage } from './start-message.ts'
import type { FromWorker, Holdings, ToWorker } from './worker-main.ts'

export interface WorkerProcess {
  readonly httpsPort: number
  /** Resolves when it is in force. */
  readonly configure: (sites: readonly Site[], limits: Limits) => Promise<void>
  readonly weigh: () => Promise<Holdings>
  /** Client connections that some process still holds. */
  readonly openConnections: () => number
  /** Everything it has written. */
  readonly output: () => string
  /** Drains it. @returns the exit code */
  readonly stop: () => Promise<number | null>
}

const LISTENER_ID = 'attacked'
const NO_RATE_LIMIT = { requestsPerSecond: 1e9, burst: 1e9 }
const PROC_NET_LISTEN = '0A'

/** @param preload modules to load before the worker's own */
export async function startWorkerProcess(preload: readonly string[] = []): Promise<WorkerProcess> {
  const httpsPort = await freePort()
  const child = fork(join(import.meta.dirname, 'worker-main.ts'), {
    execArgv: ['--expose-gc', ...preload.map((path) => `--import=${path}`)],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // With one arena what is freed is not kept by each thread for itself, so that it is seen in the memory held.
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk))
  let onMessage: ((message: FromWorker) => void) | undefined
  const tell = (message: ToWorker): void => void child.send(message)
  child.on('message', (message: FromWorker) => {
    if (message.type === 'lease-request') tell(everythingAskedFor(message))
    else onMessage?.(message)
  })

  const heard = async <Type extends FromWorker['type']>(
    type: Type,
  ): Promise<Extract<FromWorker, { type: Type }>> =>
    await new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error(`the worker ended instead of saying ${type}: ${output}`))
      child.once('exit', onExit)
      onMessage = (message) => {
        if (!isOf(message, type)) return
        child.off('exit', onExit)
        resolve(message)
      }
    })

  await heard('booted')
  tell(
    startMessage(configOf([], LIMITS, httpsPort), [
      { listenerId: LISTENER_ID, certificates: [testCertificate()] },
    ]),
  )
  await heard('ready')
  let seq = 0
  return {
    httpsPort,
    async configure(sites, limits) {
      tell({
        type: 'update',
        seq: seq++,
        update: { type: 'configure', config: configOf(sites, limits, httpsPort) },
      })
      await heard('ack')
    },
    async weigh() {
      tell({ type: 'weigh' })
      return (await heard('weighed')).holdings
    },
    openConnections: () => connectionsTo(httpsPort),
    output: () => output,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const exited = once(child, 'exit')
      tell({ type: 'drain', timeoutMs: 5_000 })
      await exited
      return child.exitCode
    },
  }
}

function isOf<Type extends FromWorker['type']>(
  message: FromWorker,
  type: Type,
): message is Extract<FromWorker, { type: Type }> {
  return message.type === type
}

function everythingAskedFor({ seq, asks }: LeaseRequest): LeaseGrant {
  const grants = asks.map(({ key, needed, ahead }) => ({
    key,
    tokens: needed + ahead,
    waitMs: 0,
    recheckMs: 0,
  }))
  return { type: 'lease-grant', seq, workers: 1, grants }
}

function configOf(sites: readonly Site[], limits: Limits, httpsPort: number): WorkerConfig {
  return {
    shutdownTimeoutMs: 5_000,
    logging: { level: 'warn', format: 'text', filePath: undefined },
    rateLimit: NO_RATE_LIMIT,
    limits,
    upstreamRoots: [],
    listeners: [{ id: LISTENER_ID, bindAddrs: ['127.0.0.1'], httpPort: 0, httpsPort, sites }],
  }
}

/** From the kernel's table: what listens is no connection, and what has no inode belongs to nobody any more. */
function connectionsTo(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)
  return rows
    .map((row) => row.trim().split(/\s+/u))
    .filter(([, local = '', , state, , , , , , inode]) => {
      return local.endsWith(suffix) && state !== PROC_NET_LISTEN && inode !== '0'
    }).length
}
