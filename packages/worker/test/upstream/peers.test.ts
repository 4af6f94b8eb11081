// An upstream with several peers, real processes among them: what clients see when a peer dies, is restarted, or is new.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { createInterface } from 'node:readline'
import { test, type TestContext } from 'node:test'
import type { Balancing } from '@reverse-proxy/shared/config/balancing'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  type UpstreamConnection,
} from '../../../../test/harness/raw-upstream.ts'
import { LIMITS, siteOf, startSiteServer } from '../support/site-server.ts'
import { freePort } from '../../../../test/harness/ports.ts'
import { next } from '../support/sockets.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }

function siteWith(
  ports: readonly number[],
  balancing: Partial<Balancing> = {},
  backups: readonly number[] = [],
) {
  const peers = [...ports, ...backups].map((port) => ({
    host: '127.0.0.1',
    port,
    weight: 1,
    isBackup: backups.includes(port),
  }))
  const policy = { balance: { by: 'round_robin' }, failAfter: 3, failWindowMs: 10_000, retryMs: 0 } as const
  return siteOf(ports[0] ?? 0, {
    balancing: { ...policy, peers: peers.length > 1 ? peers : [], ...balancing },
  })
}

const ORIGIN = `
require('node:http').createServer((req, res) => setImmediate(() => res.end(String(process.pid))))
  .listen(0, '127.0.0.1', function () { console.log(this.address().port) })`

/** An HTTP server in a process of its own that answers with its pid. */
async function startOrigin(t: TestContext) {
  const child = spawn(process.execPath, ['-e', ORIGIN], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const line = await next<string>(createInterface(child.stdout), 'line')
  return { child, port: Number(line) }
}

/** Listens on `port` of 127.0.0.1 after all. */
async function startLate(t: TestContext, port: number): Promise<string[]> {
  const received: string[] = []
  const server = net.createServer((socket) => {
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (readRequests(text).length > 0) {
        received.push(text)
        text = ''
        socket.write(OK)
      }
    })
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  return received
}

/** Answers each request with the port that it came to. */
function answerPort({ socket, received }: UpstreamConnection): void {
  if (!received.endsWith('\r\n\r\n')) return
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${String(socket.localPort).padStart(5)}`)
}

test(
  'kill -9 of one of three peers under load: not one GET fails, and it is asked no more',
  TIMEOUT,
  async (t) => {
    const origins = await Promise.all([startOrigin(t), startOrigin(t), startOrigin(t)])
    const [victim] = origins
    const site = siteWith(
      origins.map(({ port }) => port),
      { balance: { by: 'least_requests' } },
    )
    const { port } = await startSiteServer(t, [site])
    const session = await connectHttp2(t, port)
    const answers: { readonly status: number; readonly body: string }[] = []
    const load = { isOver: false }
    const clients = Array.from({ length: 12 }, async () => {
      while (!load.isOver) answers.push(await request(session))
    })
    const pid = String(victim.child.pid)
    await waitFor('the load to reach all', () => new Set(answers.map(({ body }) => body)).size === 3)
    victim.child.kill('SIGKILL')
    await once(victim.child, 'exit')
    const atDeath = answers.length
    await waitFor('the load to go on', () => answers.length > atDeath + 500)
    load.isOver = true
    await Promise.all(clients)
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    assert.ok(answers.slice(-400).every(({ body }) => body !== pid))
  },
)

test(
  'a single upstream that is restarted: GET and POST wait for it, and reach it once',
  TIMEOUT,
  async (t) => {
    const upstreamPort = await freePort()
    const { port, upstreamErrors } = await startSiteServer(t, [siteWith([upstreamPort], { retryMs: 30_000 })])
    const session = await connectHttp2(t, port)
    const get = request(session, { ':path': '/get' })
    const post = request(session, { ':path': '/post', ':method': 'POST' }, 'body')
    const tunnel = await connectRaw(t, port)
    tunnel.send(
      'GET /tunnel HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    const received = await startLate(t, upstreamPort)
    assert.deepEqual(
      [(await get).status, (await post).status, (await tunnel.response()).status],
      [200, 200, 200],
    )
    assert.equal(received.length, 3)
    assert.equal(received.filter((text) => text.includes('\r\nbody\r\n')).length, 1)
    assert.deepEqual(upstreamErrors, [])
  },
)

test('no peer can be reached for upstream_retry_secs: 502, said once', TIMEOUT, async (t) => {
  const site = siteWith([await freePort(), await freePort()], { retryMs: 1_000 })
  const { port, upstreamErrors } = await startSiteServer(t, [site])
  assert.equal((await request(await connectHttp2(t, port))).status, 502)
  assert.deepEqual(
    upstreamErrors.map(({ error }) => error),
    ['connection refused'],
  )
})

test('a POST that was sent is not sent to another peer; a GET is', TIMEOUT, async (t) => {
  const resetting = await startUpstream(t, ({ socket }) => socket.resetAndDestroy())
  const well = await startUpstream(t, answering(OK))
  const site = siteWith([resetting.port, well.port], { failAfter: 1_000 })
  const { port } = await startSiteServer(t, [site])
  const session = await connectHttp2(t, port)
  const statuses = async (method: string): Promise<number[]> => {
    const answers = []
    for (let i = 0; i < 4; i++)
      answers.push(
        (await request(session, { ':method': method }, method === 'POST' ? 'x' : undefined)).status,
      )
    return answers.toSorted((a, b) => a - b)
  }
  assert.deepEqual(await statuses('GET'), [200, 200, 200, 200])
  assert.deepEqual(await statuses('POST'), [200, 200, 502, 502])
})

test(
  'a backup is asked only while the others are out; header:NAME stays with one peer',
  TIMEOUT,
  async (t) => {
    const peers = await Promise.all([1, 2, 3].map(async () => await startUpstream(t, answerPort)))
    const [first = 0, second = 0, backup = 0] = peers.map(({ port }) => port)
    const site = siteWith([first, second], { balance: { by: 'header', name: 'x-user' } }, [backup])
    const { port, server } = await startSiteServer(t, [site])
    const session = await connectHttp2(t, port)
    const asked = async (user: string): Promise<number> =>
      Number((await request(session, { 'x-user': user })).body)
    const users = Array.from({ length: 20 }, (_, i) => `user-${i}`)
    const before = new Map<string, number>()
    for (const user of users) before.set(user, await asked(user))
    for (const user of users) assert.equal(await asked(user), before.get(user))
    assert.deepEqual(new Set(before.values()), new Set([first, second]))

    // A reload in which nobody is left but the backup and one that refuses.
    const refusing = await freePort()
    const left = siteWith([refusing], { balance: { by: 'round_robin' }, failAfter: 1 }, [backup])
    server.configure({ sites: [left], limits: LIMITS })
    for (let i = 0; i < 3; i++) assert.equal(await asked('user-0'), backup)
  },
)

test('a client that breaks the body limit takes no peer out', TIMEOUT, async (t) => {
  const peers = await Promise.all([startUpstream(t, answering(OK)), startUpstream(t, answering(OK))])
  const site = siteWith(
    peers.map(({ port }) => port),
    { failAfter: 1 },
  )
  const { port } = await startSiteServer(t, [{ ...site, bodyLimitBytes: 10 }])
  const session = await connectHttp2(t, port)
  assert.equal((await request(session, { ':method': 'POST' }, 'x'.repeat(100))).status, 413)
  for (let i = 0; i < 4; i++) assert.equal((await request(session)).status, 200)
  for (const { received } of peers) assert.equal(received().split('GET /').length - 1, 2)
})
