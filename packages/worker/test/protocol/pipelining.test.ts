// Requests that a client sends before it has the answers to earlier ones: one at a time, in order, and
// few of them are read ahead.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { connectRaw, type RawClient } from '../../../../test/harness/clients/raw-client.ts'
import {
  OK,
  readRequest,
  startUpstream,
  type UpstreamConnection,
} from '../../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor, waitUntilStill } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 30_000 }
const MEGABYTE = 1024 * 1024
const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n'
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

function ask(line: string, more = ''): string {
  return `${line} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n`
}

/** What the upstream has been asked, in the order of its connections; the newest of each alone. */
interface Held {
  readonly lines: string[]
  /** Whose `/held` has not been answered yet. */
  readonly waiting: UpstreamConnection[]
}

/** Keeps what asks for `/held`, opens a tunnel for `/tunnel`, and answers everything else at once. */
function holding({ lines, waiting }: Held) {
  return (connection: UpstreamConnection): void => {
    const request = readRequest(connection.received)
    if (request === undefined) return
    connection.received = connection.received.slice(request.bytes)
    lines.push(request.line.split(' ').slice(0, 2).join(' '))
    if (request.line.includes('/held')) waiting.push(connection)
    else if (request.line.includes('/tunnel')) connection.socket.write(SWITCHING)
    else if (request.line.includes('/unmeasured')) connection.socket.write(CHUNKED)
    else if (request.line.includes('/hinting')) connection.socket.write(HINTS + OK)
    else connection.socket.write(OK)
  }
}

async function start(t: TestContext, limits: Parameters<typeof startSiteServer>[2] = {}) {
  const held: Held = { lines: [], waiting: [] }
  const upstream = await startUpstream(t, holding(held))
  const proxy = await startSiteServer(t, [siteOf(upstream.port, { requestTimeoutMs: 25_000 })], limits)
  const client = await connectRaw(t, proxy.port)
  const answerNext = async (): Promise<void> => {
    await waitFor('a request to be held', () => held.waiting.length > 0)
    held.waiting.shift()?.socket.write(OK)
  }
  return { ...proxy, ...held, upstream, client, answerNext }
}

async function statusesOf(client: RawClient, count: number): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < count; i++) statuses.push((await client.response()).status)
  return statuses
}

/** Somebody else is served: by then whatever could go up has gone up. */
async function serveNeighbour(t: TestContext, port: number): Promise<void> {
  const neighbour = await connectRaw(t, port)
  for (let i = 0; i < 5; i++) {
    neighbour.send(ask('GET /neighbour'))
    assert.equal((await neighbour.response()).status, 200)
  }
}

function withoutNeighbour(lines: readonly string[]): string[] {
  return lines.filter((line) => line !== 'GET /neighbour')
}

/** Resolves when the client has not got rid of anything for a while. */
async function whenStuck({ socket }: RawClient): Promise<number> {
  return await waitUntilStill('what waits for the client to be sent', () => socket.writableLength)
}

test('no request goes up before the one ahead of it has been answered', TIMEOUT, async (t) => {
  const { client, port, lines, waiting, requests } = await start(t)
  client.send(
    `${ask('PUT /held/1', 'Content-Length: 1\r\n')}x${ask('DELETE /held/2')}${ask('POST /held/3', 'Content-Length: 1\r\n')}y`,
  )
  const seen: string[] = []
  for (const line of ['PUT /held/1', 'DELETE /held/2', 'POST /held/3']) {
    seen.push(line)
    await waitFor('it to arrive', () => waiting.length === 1)
    await serveNeighbour(t, port)
    assert.deepEqual(withoutNeighbour(lines), seen)
    waiting.shift()?.socket.write(OK)
    assert.equal((await client.response()).status, 200)
  }
  await waitFor('the log', () => requests.filter(({ path }) => path !== '/neighbour').length === 3)
})

test('one client does not get all upstream connections of a site', TIMEOUT, async (t) => {
  const { client, port, waiting } = await start(t, { upstreamConnectionsPerSite: 2 })
  client.send(ask('GET /held').repeat(90))
  await waitFor('the first to arrive', () => waiting.length === 1)
  await serveNeighbour(t, port)
  assert.equal(waiting.length, 1)
})

test(
  'a client whose requests wait is not read; all that fits into one read is answered',
  TIMEOUT,
  async (t) => {
    const { client, port, waiting, answerNext, lines } = await start(t)
    client.send(ask('GET /held'))
    await waitFor('it to arrive', () => waiting.length === 1)
    client.send(ask('GET /1') + ask('GET /2'))
    await serveNeighbour(t, port)
    // Large ones, lest the limit on their number end it.
    const large = ask('GET /large', `X: ${'x'.repeat(8_000)}\r\n`)
    for (let i = 0; i < 4_000; i++) client.send(large)
    const left = await whenStuck(client)
    assert.ok(left > 16 * MEGABYTE, `${left} bytes not taken`)
    await answerNext()
    await waitFor('many of them', () => lines.length > 500)
    client.socket.destroy()
  },
)

test('interim responses keep their place, and Expect is answered when it is its turn', TIMEOUT, async (t) => {
  const { client, answerNext } = await start(t)
  client.send(
    ask('GET /held') + ask('GET /hinting') + ask('POST /', 'Expect: 100-continue\r\nContent-Length: 2\r\n'),
  )
  await answerNext()
  assert.deepEqual(await statusesOf(client, 4), [200, 103, 200, 100])
  client.send(`hi${ask('GET /')}`)
  assert.deepEqual(await statusesOf(client, 2), [200, 200])
})

test('a body longer than what was read ahead arrives when it is its turn', TIMEOUT, async (t) => {
  const { client, answerNext, lines } = await start(t)
  const body = 'b'.repeat(600_000)
  client.send(
    ask('GET /held') + ask('GET /between') + ask('POST /long', `Content-Length: ${body.length}\r\n`) + body,
  )
  client.send(ask('GET /after'))
  await answerNext()
  assert.deepEqual(await statusesOf(client, 4), [200, 200, 200, 200])
  assert.deepEqual(lines, ['GET /held', 'GET /between', 'POST /long', 'GET /after'])
})

for (const between of [0, 20]) {
  test(
    `a WebSocket handshake behind ${between + 1} requests waits for them, and opens`,
    TIMEOUT,
    async (t) => {
      const { client, answerNext, lines, upstream } = await start(t)
      client.send(
        `${ask('GET /held') + ask('GET /between').repeat(between) + ask('GET /tunnel', UPGRADE)}ping`,
      )
      await answerNext()
      assert.deepEqual(await statusesOf(client, between + 2), [
        ...Array.from({ length: between + 1 }, () => 200),
        101,
      ])
      assert.equal(lines.at(-1), 'GET /tunnel')
      const tunnel = upstream.connections.find(({ received }) => received.includes('ping'))
      await waitFor('the first bytes', () => upstream.received().endsWith('ping'))
      client.send('-pong')
      await waitFor('the rest', () => upstream.received().includes('ping-pong'))
      ;(tunnel ?? upstream.newest()).socket.write('back')
      await client.until((text) => text === 'back')
    },
  )
}

test('a large answer ahead of a handshake gets through to a slow reader', TIMEOUT, async (t) => {
  const { client, waiting } = await start(t)
  client.socket.pause()
  client.send(ask('GET /held') + ask('GET /tunnel', UPGRADE))
  await waitFor('it to arrive', () => waiting.length === 1)
  const total = 24 * MEGABYTE
  waiting[0]?.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`)
  waiting[0]?.socket.write(Buffer.alloc(total, 'x'))
  await waitFor('the upstream to be held back', () => (waiting[0]?.socket.writableLength ?? 0) > 0)
  client.socket.resume()
  await waitFor('all of it', () => client.received().length > total)
  assert.deepEqual(await statusesOf(client, 2), [200, 101])
})

test('CONNECT and an upgrade to something else keep their place', TIMEOUT, async (t) => {
  for (const [last, status] of [
    [ask('CONNECT a.example:443'), 405],
    [ask('GET /last', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), 200],
  ] as const) {
    const { client, answerNext } = await start(t)
    client.send(ask('GET /held') + ask('GET /between') + last)
    await answerNext()
    assert.deepEqual(await statusesOf(client, 3), [200, 200, status])
    await client.closed()
  }
})

test('behind an answer to HTTP/1.0 that its connection ends, nothing goes up', TIMEOUT, async (t) => {
  const { client, lines } = await start(t)
  const first = 'GET /unmeasured HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n'
  client.send(first + ask('POST /never', 'Content-Length: 1\r\n') + 'x')
  await client.closed()
  assert.match(client.received(), /\r\nConnection: close\r\n\r\nok$/u)
  assert.deepEqual(lines, ['GET /unmeasured'])
})

test('what cannot be read ends the connection behind the answers that are owed', TIMEOUT, async (t) => {
  for (const [last, statuses] of [
    ['nonsense\r\n\r\n', [200, 200]],
    [`${ask('POST /x', 'Transfer-Encoding: chunked\r\n')}nonsense\r\n`, [200, 200, 400]],
    [ask('GET /x', 'Host: b.example\r\n') + ask('GET /never'), [200, 200, 400]],
    [ask('GET /x', 'Connection: close\r\n') + ask('GET /never'), [200, 200, 200]],
    ['GET /x HTTP/1.0\r\nHost: a.example\r\n\r\n' + ask('GET /never'), [200, 200, 200]],
  ] as const) {
    const { client, answerNext, lines } = await start(t)
    client.send(ask('GET /held') + ask('GET /between') + last)
    await answerNext()
    assert.deepEqual(await statusesOf(client, statuses.length), statuses)
    assert.match(client.received(), /\r\nconnection: close\r\n/iu)
    await client.closed()
    assert.ok(!lines.includes('GET /never'))
  }
})

test('with the connection go the requests that wait', TIMEOUT, async (t) => {
  const { client, port, waiting, requests, lines } = await start(t)
  client.send(ask('GET /held') + ask('GET /never'))
  await waitFor('it to arrive', () => waiting.length === 1)
  client.socket.destroy()
  await waitFor('the upstream to be left', () => waiting.every(({ socket }) => socket.destroyed))
  await serveNeighbour(t, port)
  assert.ok(!lines.includes('GET /never'))
  assert.deepEqual(requests.map(({ path, status }) => [path, status]).slice(0, 1), [['/held', 499]])
})

test('a client that goes is noticed behind many requests that wait', TIMEOUT, async (t) => {
  const { client, port, waiting, requests } = await start(t)
  client.send(ask('GET /held'))
  for (let i = 0; i < 3; i++) {
    client.send(ask('GET /never').repeat(30))
    await serveNeighbour(t, port)
  }
  client.socket.destroy()
  await waitFor('the upstream to be left', () => waiting.every(({ socket }) => socket.destroyed))
  assert.equal(requests.find(({ path }) => path === '/held')?.status, 499)
})

test('a head is late when it has been read for long, and not when it has not', TIMEOUT, async (t) => {
  const { client, port, logged, answerNext } = await start(t, { requestHeaderTimeoutMs: 2_000 })
  const other = await connectRaw(t, port)
  const large = ask('GET /large', `X: ${'x'.repeat(7_000)}\r\n`)
  for (const { send } of [client, other]) {
    send(ask('GET /held'))
    // Each in a record of its own; with the last comes all of a head but its end.
    for (let i = 0; i < 10; i++) send(large)
    send(large + large.slice(0, -2))
  }
  const timeouts = (): number => logged.filter(({ status }) => status === 408).length
  // One whose head is as old, and that is read.
  const slow = await connectRaw(t, port)
  slow.send('GET /slow HTTP/1.1\r\n')
  assert.equal((await slow.response()).status, 408)
  assert.equal(timeouts(), 1)

  await answerNext()
  await answerNext()
  client.send('\r\n')
  assert.deepEqual(new Set(await statusesOf(client, 13)), new Set([200]))
  assert.deepEqual(new Set(await statusesOf(other, 12)), new Set([200]))
  assert.equal((await other.response()).status, 408)
  await other.closed()
  assert.equal(timeouts(), 2)
})

test('drain: what has been read is answered, and the last answer says goodbye', TIMEOUT, async (t) => {
  const { client, server, closeListener, answerNext, waiting } = await start(t)
  client.send(ask('GET /held') + ask('GET /1') + ask('GET /2'))
  await waitFor('it to arrive', () => waiting.length === 1)
  closeListener()
  const drained = server.drain(20_000)
  await answerNext()
  const heads: string[] = []
  for (let i = 0; i < 3; i++) heads.push((await client.response()).head)
  assert.deepEqual(
    heads.map((head) => /connection: close/iu.test(head)),
    [false, false, true],
  )
  await Promise.all([client.closed(), drained])
})
