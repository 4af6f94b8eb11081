// Bodies in both directions: at once, never held whole, and ended together with either side.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { answerOf, connectHttp2, open, request } from '../support/http2/client.ts'
import { dataFrame, frame, FRAME, headersFrame, uint32 } from '../support/http2/frames.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { connectRawHttp2, requestFields } from '../support/http2/raw-client.ts'
import {
  answering,
  OK,
  readRequest,
  readRequests,
  startUpstream,
} from '../../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor, waitUntilStill } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'
const STREAM_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
const MEGABYTE = 1024 * 1024

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

test('an event stream: the head at once, each event as it comes', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => void socket.write(STREAM_HEAD))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  await client.until((text) => text.endsWith('\r\n\r\n'))
  const stream = open(await connectHttp2(t, port), { ':path': '/' })
  await once(stream, 'response')
  for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
    const seen = once(stream, 'data')
    for (const { socket } of upstream.connections) socket.write(chunk(event))
    await client.until((text) => text.includes(event))
    assert.equal(String((await seen)[0]), event)
  }
})

test('a client that goes takes the upstream exchange with it', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => void socket.write(STREAM_HEAD))
  const { port, requests, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  await client.until((text) => text.endsWith('\r\n\r\n'))
  client.socket.destroy()
  await once(upstream.newest().socket, 'close')
  const stream = open(await connectHttp2(t, port), { ':path': '/' })
  await once(stream, 'response')
  stream.close(8)
  await once(upstream.newest().socket, 'close')
  await waitFor('both requests to be logged', () => requests.length === 2)
  assert.deepEqual(
    requests.map(({ status }) => status),
    [200, 200],
  )
  assert.deepEqual(upstreamErrors, [])
})

test('a client that goes before there is an answer is logged as 499', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const { port, requests, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send(GET)
  await waitFor(
    'the request to arrive',
    () => upstream.connections.length === 1 && upstream.received() !== '',
  )
  client.socket.destroy()
  await once(upstream.newest().socket, 'close')
  assert.deepEqual(
    requests.map(({ status }) => status),
    [499],
  )
  assert.deepEqual(upstreamErrors, [])
})

test('a large download to a slow reader is held back at the upstream', TIMEOUT, async (t) => {
  const total = 64 * MEGABYTE
  let sent = 0
  const block = Buffer.alloc(64 * 1024, 'x')
  const upstream = await startUpstream(t, ({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`)
    const more = (): void => {
      while (sent < total) {
        sent += block.length
        if (!socket.write(block)) return void socket.once('drain', more)
      }
    }
    more()
  })
  const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.socket.removeAllListeners('data')
  client.socket.pause()
  client.send(GET)
  await waitFor('the response to begin', () => sent > 0)
  await waitUntilStill('what the upstream has sent', () => sent)
  assert.ok(sent < 32 * MEGABYTE, `held ${sent}`)
  let received = 0
  client.socket.on('data', (data) => (received += data.length))
  client.socket.resume()
  await waitFor('the whole body', () => received > total)
  await waitFor('the log', () => requests.length === 1)
  assert.equal(requests[0]?.bytes, total)
})

test('a large upload to a slow upstream is held back at the client', TIMEOUT, async (t) => {
  const total = 64 * MEGABYTE
  let received = 0
  const upstream = await startUpstream(t, (connection) => {
    if (received === 0) connection.socket.pause()
    received += connection.received.length
    connection.received = ''
    if (received > total) connection.socket.write(OK)
  })
  const site = siteOf(upstream.port, { bodyLimitBytes: total })
  const { port } = await startSiteServer(t, [site])
  const client = await connectRaw(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${total}\r\n\r\n`)
  const block = Buffer.alloc(64 * 1024, 'x')
  let sent = 0
  const more = (): void => {
    while (sent < total) {
      sent += block.length
      if (!client.socket.write(block)) return void client.socket.once('drain', more)
    }
  }
  more()
  await waitFor('the upload to arrive', () => received > 0)
  await waitUntilStill('what the client has sent', () => sent)
  assert.ok(sent < 32 * MEGABYTE, `sent ${sent}`)
  upstream.connections[0]?.socket.resume()
  assert.equal((await client.response()).status, 200)
})

test('an echo: request and response stream at the same time', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, (connection) => {
    if (!connection.received.startsWith('POST')) return
    connection.received = ''
    connection.socket.write(`${STREAM_HEAD}${chunk('begun')}`)
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  client.send('POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n')
  await client.until((text) => text.includes('begun'))
  client.send('3\r\nyou\r\n')
  await waitFor('the second chunk', () => upstream.received().includes('you'))
  client.send('0\r\n\r\n')
  await waitFor('the end of the request', () => upstream.received().endsWith('0\r\n\r\n'))
  upstream.connections[0]?.socket.write('0\r\n\r\n')
  assert.equal((await client.response()).body, 'begun')
})

test('413: declared before anything is sent up, counted while it streams', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port, upstreamErrors } = await startSiteServer(t, [siteOf(upstream.port, { bodyLimitBytes: 10 })])
  const declared = await connectRaw(t, port)
  declared.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 11\r\n\r\n${'x'.repeat(11)}`)
  const { status, body } = await declared.response()
  assert.deepEqual([status, body], [413, 'Payload Too Large'])
  await declared.closed()
  assert.equal(upstream.connections.length, 0)
  const streamed = await connectRaw(t, port)
  streamed.send(
    `POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n${chunk('x'.repeat(11))}`,
  )
  assert.equal((await streamed.response()).status, 413)
  await streamed.closed()
  const session = await connectHttp2(t, port)
  assert.equal(
    (await request(session, { ':method': 'POST', 'content-length': '11' }, 'x'.repeat(11))).status,
    413,
  )
  assert.equal((await request(session, { ':method': 'POST' }, 'x'.repeat(11))).status, 413)
  const within = await request(session, { ':method': 'POST' }, 'x'.repeat(10))
  assert.equal(within.status, 200)
  assert.deepEqual(upstreamErrors, [])
  for (const { received } of upstream.connections) assert.ok((readRequest(received)?.body.length ?? 0) <= 10)
})

test('a client that is still sending gets its answer before the connection ends', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, ({ socket }) => void socket.write(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port, { bodyLimitBytes: MEGABYTE })])
  for (const length of [2 * MEGABYTE, MEGABYTE]) {
    const client = await connectRaw(t, port)
    client.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${length}\r\n\r\n`)
    client.send('x'.repeat(600_000))
    const { status, head } = await client.response()
    assert.equal(status, length > MEGABYTE ? 413 : 200)
    assert.match(head, /connection: close/iu)
    client.send('x'.repeat(length - 600_000))
    await client.closed()
  }
  const session = await connectHttp2(t, port)
  const stream = open(session, { ':path': '/', ':method': 'POST' }, false)
  stream.write('x'.repeat(1000))
  const answer = await answerOf(stream)
  assert.deepEqual([answer.status, answer.body, answer.resetCode], [200, 'ok', 0])
  assert.equal((await request(session)).status, 200)
})

test(
  'a body that stalls: 408 after body_stall_timeout, not while the upstream holds it back',
  TIMEOUT,
  async (t) => {
    let first: Socket | undefined
    const upstream = await startUpstream(t, ({ socket }) => {
      first ??= socket
      if (socket === first) socket.pause()
    })
    const limits = { bodyStallTimeoutMs: 2_000 }
    const site = siteOf(upstream.port, { bodyLimitBytes: 100 * MEGABYTE })
    const { port, requests } = await startSiteServer(t, [site], limits)
    const held = await connectRaw(t, port)
    held.send(`POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${16 * MEGABYTE}\r\n\r\n`)
    held.send('x'.repeat(16 * MEGABYTE))
    await waitFor('the upstream to hold it back', () => first !== undefined)
    const stalled = [
      'Content-Length: 10\r\n\r\nx',
      'Content-Length: 10\r\n\r\n',
      'Transfer-Encoding: chunked\r\n\r\n1\r\nx',
    ].map(async (start) => {
      const client = await connectRaw(t, port)
      client.send(`POST / HTTP/1.1\r\nHost: a.example\r\n${start}`)
      assert.equal((await client.response()).status, 408)
      await client.closed()
    })
    const stream = open(await connectHttp2(t, port), { ':path': '/', ':method': 'POST' }, false)
    stream.write('x')
    assert.equal((await answerOf(stream)).status, 408)
    await Promise.all(stalled)
    assert.equal(requests.length, 4)
    assert.equal(held.received(), '')
  },
)

test('bodies of every framing on every method arrive whole, framed anew', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, answering(OK))
  const { port } = await startSiteServer(t, [siteOf(upstream.port)])
  const client = await connectRaw(t, port)
  const bodies: string[] = []
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    for (const framed of [
      'Content-Length: 5\r\n\r\nhello',
      'Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n',
    ]) {
      client.send(`${method} /${method} HTTP/1.1\r\nHost: a.example\r\n${framed}`)
      assert.equal((await client.response()).status, 200)
    }
    client.send(`${method} /${method} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n`)
    assert.equal((await client.response()).status, 200)
  }
  for (const { received } of upstream.connections) {
    for (const { line, body } of readRequests(received)) bodies.push(`${line.split(' ')[0]} ${body}`)
  }
  assert.equal(bodies.filter((body) => body.endsWith(' hello')).length, 16)
  assert.equal(bodies.filter((body) => body.endsWith(' ')).length, 8)
})

test(
  'a HEAD with a body, reset before anybody reads that, is over when its upstream refuses',
  TIMEOUT,
  async (t) => {
    const { port, requests } = await startSiteServer(t, [siteOf(1)])
    const client = await connectRawHttp2(t, port)
    const reset = frame(FRAME.rstStream, 0, 1, uint32(0))
    client.send(headersFrame(1, requestFields('/', 'HEAD'), false), dataFrame(1, 'x', false), reset)
    await waitFor('the log', () => requests.length > 0)
    assert.deepEqual([requests[0]?.method, requests[0]?.status], ['HEAD', 499])
  },
)

test(
  'an upload over HTTP/2 that its upstream refuses, or resets, is over when it has been answered',
  TIMEOUT,
  async (t) => {
    const resetting = await startUpstream(t, ({ socket }) => void socket.resetAndDestroy())
    for (const upstreamPort of [1, resetting.port]) {
      const { port, requests } = await startSiteServer(t, [siteOf(upstreamPort)], {
        bodyStallTimeoutMs: 60_000,
      })
      const client = await connectRawHttp2(t, port)
      await client.until((frames) => frames.some(({ type }) => type === FRAME.windowUpdate))
      client.send(headersFrame(1, requestFields('/', 'POST'), false))
      // More than is read ahead of an upstream, and not all.
      for (let i = 0; i < 12; i++) client.send(dataFrame(1, 'x'.repeat(16_000), false))
      assert.equal((await client.outcome(1)).status, 502)
      await waitFor('the log', () => requests.length > 0)
      assert.equal(requests[0]?.status, 502)
    }
  },
)

function post(path: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\n`
}

test('an exchange is idle only when neither direction moves', TIMEOUT, async (t) => {
  const PAUSE_MS = 3_000
  const STEP_MS = 250
  const DOWNLOAD_BYTES = 32 * MEGABYTE
  const upstream = await startUpstream(t, (connection) => {
    const { socket, received } = connection
    if (received.startsWith('POST /events')) {
      if (!received.endsWith('\r\n\r\n')) return
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const events = setInterval(() => socket.write('2\r\nev\r\n'), STEP_MS)
      socket.once('close', () => clearInterval(events))
    } else if (received.endsWith('\r\n\r\n')) {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${DOWNLOAD_BYTES}\r\n\r\n`)
      socket.write(Buffer.alloc(DOWNLOAD_BYTES))
    }
  })
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], { bodyStallTimeoutMs: 1_000 })
  const events = await connectRaw(t, port)
  events.send(post('/events'))
  const session = await connectHttp2(t, port)
  const stream = open(session, { ':path': '/events', ':method': 'POST' }, false)
  stream.on('error', () => {})
  let eventsOverHttp2 = 0
  stream.on('data', (bytes: Buffer) => (eventsOverHttp2 += bytes.length))

  const download = await connectRaw(t, port)
  download.socket.pause()
  download.send(post('/download'))
  const sending = setInterval(() => download.send('x'), STEP_MS)
  t.after(() => clearInterval(sending))
  await delay(PAUSE_MS)

  const [before, beforeOverHttp2] = [events.received().length, eventsOverHttp2]
  await waitFor('more', () => events.received().length > before && eventsOverHttp2 > beforeOverHttp2)
  download.socket.resume()
  await waitFor('all of the download', () => download.received().length > DOWNLOAD_BYTES)
})
