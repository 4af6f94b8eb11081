// What a worker makes of its supervisor's messages, from its start to its exit.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import tls from 'node:tls'
import type {
  PushedCertificate,
  WorkerListener,
  WorkerToSupervisor,
} from '@reverse-proxy/shared/ipc/messages'
import { freePort } from '../../../test/harness/ports.ts'
import { Program } from '../../../test/harness/program.ts'
import { WorkerLifecycle } from '../src/lifecycle.ts'
import { makeCertificate } from './support/certificates.ts'
import { siteOf } from './support/site-server.ts'
import { startMessage } from './support/process/start-message.ts'
import { waitFor } from '../../../test/harness/wait.ts'

const ID = 'listener'
const TEST = { timeout: 20_000 }
/** Time enough for a handshake. */
const DRAIN_MS = 2_000

interface RunningWorker {
  readonly worker: WorkerLifecycle
  readonly port: number
  readonly exited: Promise<number>
  /** Pushes certificates; resolves with what the worker says to that. */
  readonly publish: (certificates: readonly PushedCertificate[]) => Promise<string | undefined>
}

async function startWorker(certificate: PushedCertificate): Promise<RunningWorker> {
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
  const send = (message: WorkerToSupervisor, then?: () => void): void => {
    told.push(message)
    then?.()
  }
  const worker = new WorkerLifecycle({ send, exit })
  worker.onMessage(startMessage({ listeners: [listener] }, [{ listenerId: ID, certificates: [certificate] }]))
  await waitFor('the worker to be ready', () => told.some(({ type }) => type === 'ready'))
  let seq = 0
  const publish = async (certificates: readonly PushedCertificate[]): Promise<string | undefined> => {
    const mine = ++seq
    const update = { type: 'certificates', listener: { listenerId: ID, certificates } } as const
    worker.onMessage({ type: 'update', seq: mine, update })
    const isMine = (message: WorkerToSupervisor): boolean => message.type === 'ack' && message.seq === mine
    await waitFor('the acknowledgement', () => told.some(isMine))
    const ack = told.find(isMine)
    return ack?.type === 'ack' ? ack.error : undefined
  }
  return { worker, port, exited, publish }
}

test(
  'a client that came before the drain and says hello late is shown what has been published since',
  TEST,
  async (t) => {
    const [before, after] = [makeCertificate(['a.example']), makeCertificate(['a.example'])]
    const { worker, port, exited, publish } = await startWorker(before)
    const early = net.connect(port, '127.0.0.1')
    t.after(() => early.destroy())
    await once(early, 'connect')
    // Accepted after it, and served: so the early one has been accepted, too.
    assert.equal(await serialShown({ port, host: '127.0.0.1' }), before.serial)
    const session = http2.connect(`https://127.0.0.1:${port}`, {
      servername: 'a.example',
      rejectUnauthorized: false,
    })
    t.after(() => session.destroy())
    await once(session, 'connect')
    const closed = once(session, 'close')
    worker.onMessage({ type: 'drain', timeoutMs: 5_000 })
    assert.equal(await publish([after]), undefined)
    // A second later everyone else is gone.
    await closed
    assert.equal(await serialShown({ socket: early }), after.serial)
    assert.equal(await exited, 0)
  },
)

test(
  'a worker that is stopped while it drains: who has said hello meanwhile is served nevertheless',
  TEST,
  async (t) => {
    const certificate = makeCertificate(['a.example'])
    const { worker, port, exited } = await startWorker(certificate)
    const early = net.connect(port, '127.0.0.1')
    t.after(() => early.destroy())
    await once(early, 'connect')
    // Accepted after it, and served: so the early one has been accepted, too.
    assert.equal(await serialShown({ port, host: '127.0.0.1' }), certificate.serial)
    worker.onMessage({ type: 'drain', timeoutMs: DRAIN_MS })
    await assert.rejects(once(net.connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
    const shown = serialShown({ socket: early })
    standStill(DRAIN_MS + 500)
    assert.equal(await shown, certificate.serial)
    assert.equal(await exited, 0)
  },
)

test(
  'told to drain with no time left while it drains, a worker ends; it takes nothing more',
  TEST,
  async (t) => {
    const { worker, port, exited } = await startWorker(makeCertificate(['a.example']))
    const idle = net.connect(port, '127.0.0.1')
    t.after(() => idle.destroy())
    await once(idle, 'connect')
    assert.ok(await serialShown({ port, host: '127.0.0.1' }))
    worker.onMessage({ type: 'drain', timeoutMs: 600_000 })
    worker.onMessage({ type: 'drain', timeoutMs: 0 })
    const closed = once(idle, 'close')
    assert.equal(await exited, 0)
    await closed
    await assert.rejects(once(net.connect(port, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' })
  },
)

test(
  'a certificate that cannot be loaded: the old one serves on, and the supervisor is told',
  TEST,
  async () => {
    const [before, after] = [makeCertificate(['a.example']), makeCertificate(['a.example'])]
    const { worker, port, exited, publish } = await startWorker(before)
    const target = { port, host: '127.0.0.1' }
    const refused = await publish([after, { ...makeCertificate(['b.example']), keyPem: after.keyPem }])
    assert.match(refused ?? '', /^the certificate for b\.example cannot be loaded: .*key values mismatch$/u)
    assert.equal(await serialShown(target), before.serial)
    assert.equal(await publish([after]), undefined)
    assert.equal(await serialShown(target), after.serial)
    worker.onMessage({ type: 'drain', timeoutMs: 0 })
    assert.equal(await exited, 0)
  },
)

test('a supervisor that dies while a worker binds its ports: the worker is gone as well', TEST, async (t) => {
  const script = join(import.meta.dirname, 'support/process/dying-supervisor.ts')
  const ports = [String(await freePort()), String(await freePort())]
  const supervisor = new Program(t, process.execPath, [script, ...ports])
  assert.deepEqual(await supervisor.exited, { code: null, signal: 'SIGKILL' })
  assert.equal(supervisor.stderr.text, '')
})

/** As if this process were stopped by a signal: nothing of it runs, and the kernel goes on. */
function standStill(forMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs)
}

async function serialShown(options: tls.ConnectionOptions): Promise<string | undefined> {
  const socket = tls.connect({ ...options, servername: 'a.example', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const serial = socket.getPeerX509Certificate()?.serialNumber
  socket.destroy()
  return serial
}

test('a worker out of descriptors takes no connection, goes on, and accepts again', TEST, async (t) => {
  const { worker, port, exited } = await startWorker(makeCertificate(['a.example']))
  const files: number[] = []
  const release = (): void => {
    for (const file of files.splice(0)) closeSync(file)
  }
  t.after(release)
  assert.throws(
    () => {
      for (;;) files.push(openSync('/dev/null', 'r'))
    },
    { code: 'EMFILE' },
  )
  worker.heartbeat()
  worker.heartbeat()
  release()
  // No heartbeat has looked for free descriptors since.
  const refused = net.connect(port, '127.0.0.1')
  refused.on('error', () => {})
  await once(refused, 'close')
  worker.heartbeat()
  assert.ok(await serialShown({ port, host: '127.0.0.1' }))
  worker.onMessage({ type: 'drain', timeoutMs: 0 })
  assert.equal(await exited, 0)
})
