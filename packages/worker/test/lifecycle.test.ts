// What a worker makes of its supervisor's messages, from its start to its exit.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import type {
  PushedCertificate,
  WorkerListener,
  WorkerToSupervisor,
} from '@reverse-proxy/shared/ipc/messages'
import { freePort } from '../../../test/harness/ports.ts'
import { WorkerLifecycle } from '../src/lifecycle.ts'
import { makeCertificate } from './support/certificates.ts'
import { LIMITS, siteOf } from './support/site-server.ts'
import { waitUntil } from './support/wait-until.ts'

const ID = 'listener'

test(
  'a client that came before the drain is shown what has been published since',
  { timeout: 20_000 },
  async (t) => {
    const [before, after] = [makeCertificate(['a.example']), makeCertificate(['a.example'])]
    const port = await freePort()
    const listener: WorkerListener = {
      id: ID,
      bindAddrs: ['127.0.0.1'],
      httpPort: 0,
      httpsPort: port,
      sites: [siteOf(1)],
    }
    const told: WorkerToSupervisor[] = []
    const { promise: exited, resolve: exit } = Promise.withResolvers<number>()
    const worker = new WorkerLifecycle({ tell: (message) => told.push(message), exit })
    worker.onMessage({
      type: 'start',
      start: {
        workerNumber: 1,
        workers: 1,
        config: {
          shutdownTimeoutMs: 5_000,
          logging: { level: 'error', format: 'text', filePath: undefined },
          rateLimit: { requestsPerSecond: 100, burst: 100 },
          limits: LIMITS,
          listeners: [listener],
        },
        stage: 'serve',
        certificates: [{ listenerId: ID, certificates: [before] }],
        challenges: [],
        ticketKeys: randomBytes(48),
        inheritedSockets: [],
      },
    })
    await waitUntil('the worker to be ready', () => told.some(({ type }) => type === 'ready'))

    const early = net.connect(port, '127.0.0.1')
    t.after(() => early.destroy())
    await once(early, 'connect')
    // Accepted after it, and served: so the early one has been accepted, too.
    assert.equal(await serialShown(tls.connect({ port, host: '127.0.0.1', ...CLIENT })), before.serial)
    worker.onMessage({ type: 'drain', timeoutMs: 5_000 })
    worker.onMessage({ type: 'push', seq: 7, push: { type: 'certificates', listener: listed(after) } })
    await waitUntil('the acknowledgement', () =>
      told.some((message) => message.type === 'ack' && message.seq === 7),
    )
    assert.equal(await serialShown(tls.connect({ socket: early, ...CLIENT })), after.serial)
    assert.equal(await exited, 0)
  },
)

const CLIENT = { servername: 'a.example', rejectUnauthorized: false } as const

function listed(certificate: PushedCertificate) {
  return { listenerId: ID, certificates: [certificate] }
}

async function serialShown(socket: tls.TLSSocket): Promise<string | undefined> {
  await once(socket, 'secureConnect')
  const serial = socket.getPeerX509Certificate()?.serialNumber
  socket.destroy()
  return serial
}
