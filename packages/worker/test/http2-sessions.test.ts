// The guard over HTTP/2 sessions, where no client can be made to do what it guards against.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2, { type ServerHttp2Session } from 'node:http2'
import net from 'node:net'
import { test } from 'node:test'
import { Http2Sessions } from '../src/limits/http2-sessions.ts'
import { LIMITS } from './support/site-server.ts'
import { listen, next } from './support/sockets.ts'

test('a closed session that the runtime does not end is ended when it has been idle', async (t) => {
  const accepted = http2.createServer()
  const sockets: net.Socket[] = []
  const listener = net.createServer((socket) => {
    sockets.push(socket)
    accepted.emit('connection', socket)
  })
  const port = await listen(t, listener)
  const client = http2.connect(`http://127.0.0.1:${port}`)
  client.on('error', () => {})
  t.after(() => client.destroy())
  const session = await next<ServerHttp2Session>(accepted, 'session')
  const [socket] = sockets
  assert.ok(socket !== undefined)

  let nowMs = 0
  const sessions = new Http2Sessions(
    () => LIMITS,
    () => nowMs,
  )
  sessions.watch(session, {
    socket,
    hasOpenExchange: false,
    requests: 0,
    lastStreamId: 0,
    lastWroteMs: 0,
    openBodies: 0,
    bodies: 0,
  })
  // A stream that we have forgotten keeps the session.
  client.request({ ':path': '/' }).on('error', () => {})
  await once(session, 'stream')
  session.close()
  nowMs = LIMITS.keepAliveTimeoutMs - 1
  sessions.sweep()
  assert.ok(session.closed && !session.destroyed)
  nowMs = LIMITS.keepAliveTimeoutMs
  sessions.sweep()
  assert.ok(session.destroyed)
})
