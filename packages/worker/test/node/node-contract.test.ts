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
import { codeOf } from '@reverse-proxy/shared/error-text'
import { checkTlsInternals, protocolList, setTicketKeys, startHandshake } from '../../src/node/tls-server.ts'
import { readShared, stopReadingShared } from '../../src/node/shared-reads.ts'
import { surviveWriteErrors } from '../../src/node/socket-errors.ts'
import { testCertificate } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { next } from '../support/sockets.ts'

const TIMEOUT = { timeout: 20_000 }

interface Running {
  readonly port: number
  readonly secured: Promise<TLSSocket>
  readonly failed: Promise<Error>
}

/** Handshakes on accepted sockets, as the product makes them. */
async function start(t: TestContext): Promise<Running> {
  const { certPem: cert, keyPem: key } = testCertificate()
  const context = createSecureContext({ cert, key })
  const protocols = protocolList(['h2', 'http/1.1'])
  const secured = Promise.withResolvers<TLSSocket>()
  const failed = Promise.withResolvers<Error>()
  const listener = net.createServer((socket) => {
    startHandshake(socket, { context, protocols }, { onSecure: secured.resolve, onFailed: failed.resolve })
  })
  return { port: await listen(t, listener), secured: secured.promise, failed: failed.promise }
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

test("TLSSocket 'secure' comes when the handshake is done, with the protocol", TIMEOUT, async (t) => {
  const { port, secured } = await start(t)
  const client = connectTls(t, port, 'http/1.1')
  const socket = await secured
  assert.equal(socket.alpnProtocol, 'http/1.1')
  socket.end('hello')
  assert.equal((await next<Buffer>(client, 'data')).toString(), 'hello')
})

test('TLSSocket._releaseControl: errors of TLS after the handshake are events', TIMEOUT, async (t) => {
  const { port, secured } = await start(t)
  // The client sends a record that is no TLS once the handshake is done.
  const raw = net.connect(port, '127.0.0.1')
  t.after(() => raw.destroy())
  const client = tls.connect({ socket: raw, servername: 'a.example', rejectUnauthorized: false })
  client.on('error', () => {})
  const socket = await secured
  const error = next<Error>(socket, 'error')
  socket.resume()
  raw.write(Buffer.from([23, 3, 3, 0, 20, ...new Uint8Array(20)]))
  assert.match(codeOf(await error) ?? '', /^ERR_SSL/u)
})

test('a handshake that fails, or whose client hangs up, is told once', TIMEOUT, async (t) => {
  const refused = await start(t)
  connectTls(t, refused.port, 'spdy/1').on('error', () => {})
  assert.equal(codeOf(await refused.failed), 'ERR_SSL_NO_APPLICATION_PROTOCOL')
  const left = await start(t)
  net.connect(left.port, '127.0.0.1', function onConnect(this: net.Socket) {
    this.end()
  })
  assert.equal(codeOf(await left.failed), 'ECONNRESET')
})

test(
  'TLSSocket.secureConnecting is over with the handshake: the HTTP/2 of the runtime waits for it',
  TIMEOUT,
  async (t) => {
    const { port, secured } = await start(t)
    connectTls(t, port, 'h2')
    assert.equal(Reflect.get(await secured, 'secureConnecting'), false)
  },
)

test('SecureContext.context.setTicketKeys is there, and checked at the start', () => {
  const context = createSecureContext()
  setTicketKeys(context, randomBytes(48))
  assert.throws(() => setTicketKeys(context, randomBytes(47)), RangeError)
  checkTlsInternals()
  assert.throws(() => setTicketKeys({ context: {} }, randomBytes(48)), /has no setTicketKeys for TLS/u)
})

for (const kind of ['plain', 'TLS'] as const) {
  test(
    `kBuffer, kBufferCb and useUserBuffer of a ${kind} socket: reads share one buffer, also with pauses, until it ends`,
    TIMEOUT,
    async (t) => {
      const { secured, port } = await start(t)
      const plain = net.createServer()
      const [client, socket] =
        kind === 'TLS'
          ? [connectTls(t, port, 'http/1.1'), await secured]
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
