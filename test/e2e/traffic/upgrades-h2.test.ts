// WebSockets of both protocols against a real WebSocket server, and what becomes of them
// when the program stops or its workers are replaced.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Stream } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { connect2, request, type RequestOptions } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { waitFor } from '../../harness/wait.ts'

/** RFC 6455 5.5.1, 7.4.1. */
const GOING_AWAY = Buffer.of(0x88, 2, 1001 >> 8, 1001 & 0xff)

async function startEcho(t: TestContext): Promise<HttpOrigin> {
  const origin = await HttpOrigin.start(t, (_request, response) => response.end('plain'))
  const webSockets = new WebSocketServer({ server: origin.server })
  t.after(() => webSockets.close())
  webSockets.on('connection', (peer) => {
    peer.on('error', () => {})
    peer.on('message', (data: Buffer) => peer.send(data, { binary: false }))
  })
  return origin
}

/** A client's text frame: masked, with a mask that changes nothing. */
function textFrame(text: string): Buffer {
  return Buffer.concat([Buffer.of(0x81, 0x80 | text.length, 0, 0, 0, 0), Buffer.from(text)])
}

interface StreamTunnel {
  readonly stream: ClientHttp2Stream
  readonly received: () => Buffer
}

async function openOverHttp2(t: TestContext, target: RequestOptions): Promise<StreamTunnel> {
  const session = connect2(target)
  t.after(() => session.destroy())
  await once(session, 'remoteSettings')
  assert.equal(session.remoteSettings.enableConnectProtocol, true)
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'https',
      ':path': '/stream',
      ':authority': HOST,
      'sec-websocket-version': '13',
    },
    { endStream: false },
  )
  let received = Buffer.alloc(0)
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])))
  const [headers] = await once(stream, 'response')
  assert.equal(headers[':status'], 200)
  return { stream, received: () => received }
}

async function openOverHttp1(t: TestContext, target: RequestOptions): Promise<WebSocket> {
  const options = { headers: { Host: HOST }, servername: HOST, ca: target.ca }
  const client = new WebSocket(`wss://127.0.0.1:${target.port}/socket`, options)
  t.after(() => client.terminate())
  await once(client, 'open')
  return client
}

async function echoOf(client: WebSocket, text: string): Promise<string> {
  client.send(text)
  const [data]: Buffer[] = await once(client, 'message')
  return data?.toString() ?? ''
}

test('both protocols talk until the program has stopped waiting for them: then 1001', async (t) => {
  const origin = await startEcho(t)
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 2, shutdown_timeout_secs: 3 },
  })
  const [h1, h2] = [await openOverHttp1(t, target), await openOverHttp2(t, target)]
  assert.equal(await echoOf(h1, 'one'), 'one')
  h2.stream.write(textFrame('two'))
  await waitFor('the echo over HTTP/2', () => h2.received().toString('latin1') === '\u0081\u0003two')
  const closed = once(h1, 'close')

  proxy.signal('SIGTERM')
  await proxy.stdout.waitForLine(/ INFO STOPPING /u)
  assert.equal(await echoOf(h1, 'still'), 'still')
  h2.stream.write(textFrame('here'))
  await waitFor('the echo while it stops', () =>
    h2.received().toString('latin1').endsWith('\u0081\u0004here'),
  )
  const [code] = await closed
  assert.equal(code, 1001)
  await waitFor('the stream to end', () => h2.stream.closed)
  assert.ok(h2.received().subarray(-GOING_AWAY.length).equals(GOING_AWAY))
  assert.deepEqual(await proxy.exited, { code: 0, signal: null })

  const lines = proxy.stdout.lines.filter((line) => line.includes(' REQUEST '))
  const h1Line = lines.find((line) => line.includes('method=GET path=/socket status=101'))
  const h2Line = lines.find((line) => line.includes('method=CONNECT path=/stream status=200'))
  assert.match(h1Line ?? '', / duration_ms=\d{4,} bytes=16 proto=http\/1\.1 /u)
  assert.match(h2Line ?? '', / duration_ms=\d{4,} bytes=15 proto=h2 /u)
})

test('a roll: tunnels of both protocols live in the old worker until its deadline, new ones in the new', async (t) => {
  const origin = await startEcho(t)
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 1, shutdown_timeout_secs: 4 },
  })
  const [h1, h2] = [await openOverHttp1(t, target), await openOverHttp2(t, target)]
  const closed = once(h1, 'close')
  proxy.signal('SIGHUP')
  await proxy.stdout.waitForLine(/ CONFIG_RELOAD status=success /u)
  assert.equal(await echoOf(h1, 'old'), 'old')
  h2.stream.write(textFrame('old'))
  await waitFor('the echo from the old worker', () => h2.received().toString('latin1') === '\u0081\u0003old')
  const fresh = await openOverHttp1(t, target)
  assert.equal((await request(target)).body, 'plain')
  assert.equal((await closed)[0], 1001)
  await waitFor('the old stream to end', () => h2.stream.closed)
  assert.ok(h2.received().subarray(-GOING_AWAY.length).equals(GOING_AWAY))
  assert.equal(await echoOf(fresh, 'new'), 'new')
  fresh.close()
})
