// `pnpm bench:profile [h1|h2|handshake]`: where a worker's CPU time goes under load. The worker runs in this process,
// without its permission model, which lets nobody profile it; writes profile.cpuprofile (for Chrome's and other
// viewers) and profile.svg, a flame graph.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WorkerStart } from '@reverse-proxy/shared/ipc/messages'
import { processEnvironment } from '../../packages/supervisor/dist/config/environment.js'
import { localProfile } from '../../packages/supervisor/dist/config/local-profile.js'
import { WorkerLifecycle } from '../../packages/worker/dist/lifecycle.js'
import { freePort } from '../harness/ports.ts'
import { issueCertificate } from './certificates.ts'
import { drawFlameGraph } from './flame-graph.ts'
import { freshConnections, h2load } from './load.ts'
import { HOST } from './peers.ts'

const SECONDS = 6
const SAMPLING_US = 250
const HERE = import.meta.dirname

const LOADS = {
  h1: async (port: number) =>
    await h2load({ port, path: '/', protocol: 'h1', connections: 32, seconds: SECONDS }),
  h2: async (port: number) =>
    await h2load({ port, path: '/', protocol: 'h2', connections: 8, streams: 10, seconds: SECONDS }),
  handshake: async (port: number) => await freshConnections(port, 400, SECONDS),
} as const

const [name = 'h1'] = process.argv.slice(2).filter((word) => word !== '--')
if (!isLoad(name)) {
  process.stderr.write(`no such load: ${name}; there are ${Object.keys(LOADS).join(', ')}\n`)
  process.exit(1)
}

const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-profile-'))
const upstream = spawn(process.execPath, [join(HERE, 'upstream.ts')], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.once('exit', () => {
  upstream.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})
const [hello]: Buffer[] = await once(upstream.stdout, 'data')
const port = await freePort()
await startWorker(await startOf(port, Number(JSON.parse(String(hello)).port)))

await LOADS[name](port)
const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.setSamplingInterval', { interval: SAMPLING_US })
const before = process.cpuUsage()
await session.post('Profiler.start')
const { units } = await LOADS[name](port)
const { profile } = await session.post('Profiler.stop')
const { user, system } = process.cpuUsage(before)
writeFileSync(join(HERE, 'profile.cpuprofile'), JSON.stringify(profile))
writeFileSync(join(HERE, 'profile.svg'), drawFlameGraph(profile, `${name}: ${units} in ${SECONDS} s`))
process.stderr.write(
  `${units} done, ${((user + system) / units).toFixed(1)} us of CPU each, the profiler's included: test/bench/profile.svg\n`,
)
process.exit(0)

function isLoad(word: string): word is keyof typeof LOADS {
  return Object.hasOwn(LOADS, word)
}

async function startWorker(start: WorkerStart): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const lifecycle = new WorkerLifecycle({
      send: (message, then = () => {}) => {
        if (message.type === 'ready') resolve()
        if (message.type === 'boot-failed') reject(new Error(JSON.stringify(message.failure)))
        then()
      },
      exit: (code) => process.exit(code),
    })
    lifecycle.onMessage({ type: 'start', start })
  })
}

async function startOf(httpsPort: number, upstreamPort: number): Promise<WorkerStart> {
  const { certPath, keyPath } = await issueCertificate(directory, [HOST])
  const many = 1_000_000_000
  const { limits } = localProfile(processEnvironment())
  return {
    workerNumber: 1,
    workers: 1,
    config: {
      shutdownTimeoutMs: 1_000,
      upstreamRoots: [],
      logging: { level: 'info', format: 'text', filePath: undefined },
      rateLimit: { requestsPerSecond: many, burst: many },
      limits: { ...limits, connectionsPerClient: limits.connectionsPerWorker, requestsPerConnection: many },
      listeners: [
        {
          id: 'bench',
          bindAddrs: ['127.0.0.1'],
          httpPort: 0,
          httpsPort,
          sites: [
            {
              hosts: [HOST],
              routes: [],
              requestHeaders: [],
              responseHeaders: [],
              action: {
                kind: 'proxy',
                upstream: {
                  kind: 'tcp',
                  scheme: 'http',
                  host: '127.0.0.1',
                  port: upstreamPort,
                  caPem: undefined,
                },
                connectTimeoutMs: 5_000,
                requestTimeoutMs: 60_000,
                stripPrefix: false,
                addPrefix: '',
              },
              bodyLimitBytes: many,
              rateLimit: undefined,
            },
          ],
        },
      ],
    },
    certificates: [
      {
        listenerId: 'bench',
        certificates: [
          {
            names: [HOST],
            certPem: readFileSync(certPath, 'utf8'),
            keyPem: readFileSync(keyPath, 'utf8'),
            serial: '1',
          },
        ],
      },
    ],
    challenges: [],
    ticketKeys: randomBytes(48),
    inheritedSockets: [],
    bans: new Uint32Array(),
  }
}
