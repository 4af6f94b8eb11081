// The internals of the runtime that the worker relies on. Each test is named for one of them: a runtime
// that changes it fails here first.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import tls, { createSecureContext, type TLSSocket } from 'node:tls'
import httpProxy from 'http-proxy'
import { createTlsServer } from '../../src/node/tls-server.ts'
import { readShared, stopReadingShared } from '../../src/node/shared-reads.ts'
import { surviveWriteErrors } from '../../src/node/socket-errors.ts'
import { acceptedSocketOf } from '../../src/node/tls-socket.ts'
import { LIMITS, testCertificate } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { next } from '../support/sockets.ts'

const TIMEOUT = { timeout: 20_000 }

interface Running {
  readonly server: tls.Server
  readonly port: number
  readonly accepted: net.Socket[]
}

/** The runtime's server behind a listener of our own, as the product uses it. */
async function start(t: TestContext): Promise<Running> {
  const { certPem: cert, keyPem: key } = testCertificate()
  const context = createSecureContext({ cert, key })
  const server = createTlsServer({
    limits: LIMITS,
    ticketKeys: randomBytes(48),
    sessionIdContext: 'test',
    tls: {},
    contextOf: () => context,
  })
  const accepted: net.Socket[] = []
  const listener = net.createServer((socket) => {
    accepted.push(socket)
    server.emit('connection', socket)
  })
  return { server, port: await listen(t, listener), accepted }
}

function connectTls(t: TestContext, port: number, protocol: string): TLSSocket {
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    servername: 'a.example',
    rejectUnauthorized: false,
    ALPNProtocols: [protocol],
  })
  t.after(() => socket.destroy())
  return socket
}

test('TLSSocket._parent is the accepted socket, also after both have closed', TIMEOUT, async (t) => {
  const { server, port, accepted } = await start(t)
  const secured = next<TLSSocket>(server, 'secureConnection')
  const client = connectTls(t, port, 'http/1.1')
  const socket = await secured
  assert.equal(acceptedSocketOf(socket), accepted[0])
  client.destroy()
  await once(socket, 'close')
  assert.equal(acceptedSocketOf(socket), accepted[0])
})

for (const kind of ['plain', 'TLS'] as const) {
  test(
    `kBuffer, kBufferCb and useUserBuffer of a ${kind} socket: reads share one buffer, also with pauses, until it ends`,
    TIMEOUT,
    async (t) => {
      const { server, port, accepted } = await start(t)
      const plain = net.createServer((socket) => accepted.push(socket))
      const [client, socket] =
        kind === 'TLS'
          ? [connectTls(t, port, 'http/1.1'), await next<TLSSocket>(server, 'secureConnection')]
          : [net.connect(await listen(t, plain), '127.0.0.1'), await next<net.Socket>(plain, 'connection')]
      t.after(() => client.destroy())
      const memory = new Set<ArrayBufferLike>()
      const texts: string[] = []
      const onBytes = (bytes: Buffer): void => {
        memory.add(bytes.buffer)
        texts.push(bytes.toString('latin1'))
      }
      const read = async (count: number): Promise<void> => {
        while (texts.join('').length < count) await new Promise((resolve) => setImmediate(resolve))
      }
      const ended = once(socket, 'end')
      readShared(socket, onBytes)
      client.write('one')
      await read(3)
      socket.pause()
      client.write('two')
      await new Promise((resolve) => setTimeout(resolve, 50))
      assert.equal(texts.join(''), 'one')
      socket.resume()
      await read(6)
      assert.equal(memory.size, 1)
      // An ordinary stream afterwards, whose bytes are its own.
      stopReadingShared(socket, onBytes)
      client.end('three')
      const [chunk] = await once(socket.resume(), 'data')
      assert.equal(String(chunk), 'three')
      assert.ok(!memory.has(chunk.buffer))
      await ended
      assert.equal(texts.join(''), 'onetwo')
    },
  )
}

test(
  '_readableState.autoDestroy = false: what has arrived is read after a failed write',
  TIMEOUT,
  async (t) => {
    const server = net.createServer((socket) => {
      socket.on('error', () => {})
      socket.end('refused', () => socket.resetAndDestroy())
    })
    const client = net.connect(await listen(t, server), '127.0.0.1')
    t.after(() => client.destroy())
    surviveWriteErrors(client)
    await once(client, 'connect')
    const failed = once(client, 'error')
    const flood = Buffer.alloc(1024 * 1024)
    const writing = setInterval(() => client.write(flood), 5)
    await failed
    clearInterval(writing)
    assert.equal(client.destroyed, false)
  },
)

test(
  "http-proxy listens for 'upgrade' and 'response' on the request that it has made",
  TIMEOUT,
  async (t) => {
    const upstream = http.createServer()
    const port = await listen(t, upstream)
    upstream.on('upgrade', (_req, socket) => socket.destroy())
    const proxy = httpProxy.createProxyServer({
      target: { protocol: 'http:', host: 'unused.invalid', port: 80 },
    })
    assert.ok(Array.isArray(Reflect.get(proxy, 'webPasses')))
    const made = new Promise<http.ClientRequest>((resolve) => proxy.on('proxyReqWs', (sent) => resolve(sent)))
    const front = http.createServer()
    front.on('upgrade', (req, socket, head) => {
      proxy.ws(req, socket, head, { target: `http://127.0.0.1:${port}` }, () => socket.destroy())
    })
    const client = net.connect(await listen(t, front), '127.0.0.1')
    t.after(() => client.destroy())
    client.on('error', () => {})
    client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    const sent = await made
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(sent.listenerCount('upgrade'), 1)
    assert.equal(sent.listenerCount('response'), 1)
  },
)
