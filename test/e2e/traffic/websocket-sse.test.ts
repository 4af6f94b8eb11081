// Conversations and streams pass through as they happen.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import https from 'node:https'
import { test } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import type { RequestOptions } from '../../harness/clients/request.ts'
import { connect2 } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { waitFor } from '../../harness/wait.ts'

const MESSAGE_BYTES = 256 * 1024

test('websocket: text, binary, ping and the close code pass both ways', async (t) => {
  const origin = await HttpOrigin.start(t, (_request, response) => response.writeHead(426).end())
  const webSockets = new WebSocketServer({ server: origin.server, path: '/chat' })
  t.after(() => webSockets.close())
  webSockets.on('connection', (peer) => {
    peer.on('message', (data: Buffer, isBinary) => {
      if (!isBinary && data.toString() === 'bye') peer.close(4001, 'as you wish')
      else peer.send(data, { binary: isBinary })
    })
  })
  const { httpsPort, target } = await serveSite(t, { upstream: origin.upstream })

  const client = new WebSocket(`wss://127.0.0.1:${httpsPort}/chat?room=1`, {
    headers: { Host: `${HOST}:${httpsPort}`, 'X-Forwarded-For': '192.0.2.1' },
    ...trust(target),
  })
  t.after(() => client.terminate())
  await once(client, 'open')

  client.send('hello')
  const [text, textIsBinary]: [Buffer, boolean] = await nextMessage(client)
  assert.equal(text.toString(), 'hello')
  assert.equal(textIsBinary, false)
  const bytes = Buffer.alloc(MESSAGE_BYTES, 'binary')
  client.send(bytes)
  const [echo, echoIsBinary] = await nextMessage(client)
  assert.ok(bytes.equals(echo))
  assert.equal(echoIsBinary, true)
  client.ping('beat')
  const [pong]: Buffer[] = await once(client, 'pong')
  assert.equal(pong?.toString(), 'beat')
  client.send('bye')
  const [code, reason]: [number, Buffer] = await nextClose(client)
  assert.equal(code, 4001)
  assert.equal(reason.toString(), 'as you wish')

  const [seen] = origin.requests
  assert.ok(seen)
  assert.equal(seen.target, '/chat?room=1')
  assert.deepEqual(valuesOf(seen, 'host'), [`${HOST}:${httpsPort}`])
  assert.deepEqual(valuesOf(seen, 'x-forwarded-for'), ['127.0.0.1'])
})

test('websocket: a refused upgrade is answered as the upstream answered it', async (t) => {
  const origin = await HttpOrigin.start(t, (_request, response) => response.end())
  origin.server.on('upgrade', (_request, socket) => {
    socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\nno! ')
  })
  const { httpsPort, target } = await serveSite(t, { upstream: origin.upstream })
  const client = new WebSocket(`wss://127.0.0.1:${httpsPort}/`, {
    headers: { Host: `${HOST}:${httpsPort}` },
    ...trust(target),
  })
  t.after(() => client.terminate())
  client.on('error', () => {})
  const status = await new Promise((resolve) => {
    client.once('unexpected-response', (_request, response) => resolve(response.statusCode))
  })
  assert.equal(status, 403)
})

for (const protocol of ['HTTP/1.1', 'HTTP/2'] as const) {
  test(`sse: over ${protocol} each event arrives before the next is sent, and leaving is noticed`, async (t) => {
    const streams: ServerResponse[] = []
    const origin = await HttpOrigin.start(t, (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
      streams.push(response)
    })
    const { target } = await serveSite(t, { upstream: origin.upstream })

    let received = ''
    let leave: () => void
    if (protocol === 'HTTP/2') {
      const session = connect2(target)
      t.after(() => session.destroy())
      const stream = session.request({ ':path': '/events', ':authority': HOST })
      stream.setEncoding('utf8').on('data', (text: string) => (received += text))
      leave = () => stream.close()
      const [head]: { ':status'?: number }[] = await once(stream, 'response')
      assert.equal(head?.[':status'], 200)
    } else {
      const { port, ca } = target
      const sent = https.get({
        host: '127.0.0.1',
        port,
        servername: HOST,
        ca,
        headers: { host: HOST },
        agent: false,
      })
      const [response] = await once(sent, 'response')
      assert.equal(response.headers['content-type'], 'text/event-stream')
      response.setEncoding('utf8').on('data', (text: string) => (received += text))
      response.on('error', () => {})
      leave = () => sent.destroy()
    }

    const [upstream] = streams
    assert.ok(upstream)
    for (const event of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      upstream.write(event)
      await waitFor(`the client to have ${JSON.stringify(event)}`, () => received.endsWith(event))
    }
    const closed = once(upstream, 'close')
    leave()
    await closed
    assert.equal(received, 'data: 1\n\ndata: 2\n\ndata: 3\n\n')
  })
}

// Options that ws hands on to node:tls; its own types do not know the first.
function trust({ ca }: RequestOptions): ConnectionOptions {
  return { servername: HOST, ca }
}

async function nextMessage(client: WebSocket): Promise<[Buffer, boolean]> {
  return await new Promise((resolve) => {
    client.once('message', (data: Buffer, isBinary) => resolve([data, isBinary]))
  })
}

async function nextClose(client: WebSocket): Promise<[number, Buffer]> {
  return await new Promise((resolve) => {
    client.once('close', (code, reason) => resolve([code, reason]))
  })
}
