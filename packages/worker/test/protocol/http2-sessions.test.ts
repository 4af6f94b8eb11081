// The guard over HTTP/2 sessions, where no client can be made to do what it guards against.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import { Http2Sessions } from '../../src/protocol/http2-guard.ts'
import { LINGER_MS } from '../../src/connection/lingering-close.ts'
import { frame, FRAME, headersFrame, preface, uint32 } from '../support/http2-frames.ts'
import { requestFields } from '../support/raw-http2-client.ts'
import { LIMITS } from '../support/site-server.ts'
import { listen, next } from '../support/sockets.ts'
import { waitUntil } from '../support/wait-until.ts'

const TIMEOUT = { timeout: 30_000 }
const SETTINGS_INITIAL_WINDOW_SIZE = Buffer.of(0, 4)
const DEFAULT_WINDOW_BYTES = 65_535
const MAX_WINDOW_BYTES = 2 ** 31 - 1
const MORE_THAN_THE_KERNEL_TAKES = 32 * 1024 * 1024
const REQUESTS = {
  hasOpenExchange: false,
  requests: 0,
  lastStreamId: 0,
  lastWroteMs: 0,
  openBodies: 0,
  bodies: 0,
}

/** A session that is watched, and what there is at its other end: nobody, until somebody connects. */
async function start(t: TestContext) {
  const server = http2.createServer()
  const accepted: net.Socket[] = []
  const listener = net.createServer((socket) => {
    accepted.push(socket)
    socket.on('error', () => {})
    server.emit('connection', socket)
  })
  const port = await listen(t, listener)
  const session = next<ServerHttp2Session>(server, 'session')
  const raw = net.connect({ port, host: '127.0.0.1' })
  raw.on('error', () => {})
  t.after(() => raw.destroy())
  const clock = { nowMs: 0 }
  const sessions = new Http2Sessions(
    () => LIMITS,
    () => clock.nowMs,
  )
  const watched = await session
  const [socket] = accepted
  assert.ok(socket !== undefined)
  watched.on('error', () => {})
  sessions.watch(watched, { socket, ...REQUESTS })
  return { session: watched, socket, raw, sessions, clock }
}

test('a closed session that the runtime does not end is ended when it has been idle', async (t) => {
  const { session, raw, sessions, clock } = await start(t)
  const client = http2.connect('http://a.example', { createConnection: () => raw })
  client.on('error', () => {})
  // A stream that we have forgotten keeps the session.
  client.request({ ':path': '/' }).on('error', () => {})
  await once(session, 'stream')
  session.close()
  clock.nowMs = LIMITS.keepAliveTimeoutMs - 1
  sessions.sweep()
  assert.ok(session.closed && !session.destroyed)
  clock.nowMs = LIMITS.keepAliveTimeoutMs
  sessions.sweep()
  assert.ok(session.destroyed)
})

test(
  'a session that is destroyed while its client does not read takes its socket with it',
  TIMEOUT,
  async (t) => {
    const { session, socket, raw, sessions } = await start(t)
    // As much as may be sent at once, and nobody who listens for it.
    raw.write(
      Buffer.concat([
        preface(),
        frame(FRAME.settings, 0, 0, Buffer.concat([SETTINGS_INITIAL_WINDOW_SIZE, uint32(MAX_WINDOW_BYTES)])),
        frame(FRAME.windowUpdate, 0, 0, uint32(MAX_WINDOW_BYTES - DEFAULT_WINDOW_BYTES)),
        headersFrame(1, requestFields('/')),
      ]),
    )
    const stream = await next<ServerHttp2Stream>(session, 'stream')
    stream.on('error', () => {})
    stream.respond()
    stream.write(Buffer.alloc(MORE_THAN_THE_KERNEL_TAKES))
    await waitUntil('it to be on its way', () => socket.bytesWritten > 1024 * 1024)
    session.destroy()
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(!socket.destroyed)
    const closed = once(socket, 'close')
    t.mock.timers.enable({ apis: ['setTimeout'] })
    sessions.sweep()
    t.mock.timers.tick(LINGER_MS - 1)
    assert.ok(!socket.destroyed)
    t.mock.timers.tick(1)
    t.mock.timers.reset()
    await closed
  },
)
