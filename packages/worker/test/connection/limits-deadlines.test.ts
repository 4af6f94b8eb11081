// Every way of being slow has its deadline, over HTTP/1 and HTTP/2 alike; who is merely idle, or
// slow but getting on, keeps its connection.
import assert from 'node:assert/strict'
import net from 'node:net'
import { suite, test, type TestContext } from 'node:test'
import tls from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { encodeHello, encodeRecords, serverNameExtension } from '../support/client-hello.ts'
import { FLAG, FRAME } from '../support/http2/frames.ts'
import { block, frame, get, goawayCode, GREETING, parseFrames, PING, uint32 } from '../support/http2/text.ts'
import type { RawClient } from '../../../../test/harness/clients/raw-client.ts'
import { connectPlain, connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import type { UpstreamConnection } from '../../../../test/harness/raw-upstream.ts'
import { answering, OK, startUpstream } from '../../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }
const HTTP2 = ['h2']
const GET = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'
/** What one client that gets on reads at a time. */
const SIP_BYTES = 512 * 1024
const REQUEST = get(1)

/** One byte after the other, until the server has closed. */
async function dribble(client: RawClient, bytes: string, everyMs: number): Promise<void> {
  for (let at = 0; !client.socket.closed; at++) {
    if (client.socket.writable) client.send(bytes.charAt(at % bytes.length))
    await delay(everyMs)
  }
}

/** What a client of the runtime says first. */
async function realHello(t: TestContext): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (chunk) => {
      resolve(chunk.toString('latin1'))
      socket.destroy()
    })
  })
  const port = await listen(t, server)
  tls.connect({ port, host: '127.0.0.1', servername: 'a.example' }).on('error', () => {})
  return await promise
}

function isGone({ socket }: UpstreamConnection): boolean {
  return socket.destroyed
}

function greeting(received: string): boolean {
  return parseFrames(received).some(({ type }) => type === FRAME.settings)
}

// All at once: they wait for different things.
void suite('slow clients', { concurrency: true }, () => {
  test(
    'a request head that does not come, or not to its end, within request_header_timeout',
    TIMEOUT,
    async (t) => {
      const upstream = await startUpstream(t, answering(OK))
      const { port, logged, requests } = await startSiteServer(t, [siteOf(upstream.port)], {
        requestHeaderTimeoutMs: 3_000,
        keepAliveTimeoutMs: 20_000,
      })
      const http1 = async (): Promise<RawClient> => await connectRaw(t, port)
      const http2 = async (bytes: string): Promise<RawClient> => {
        const client = await connectRaw(t, port, { alpn: HTTP2 })
        if (bytes !== '') client.send(bytes)
        return client
      }
      const idle = await http2(GREETING + REQUEST)
      const kept = [await http1(), await http2(GREETING), idle]
      kept[0]?.send(GET)

      const [silent, dribbling, second] = [await http1(), await http1(), await http1()]
      void dribble(dribbling, `GET / HTTP/1.1\r\nHost: a.example\r\n${'a: b\r\n'.repeat(1_000)}`, 50)
      second.send(GET)
      await second.response()
      second.send('GET / HTTP/1.1\r\nHo')
      // Nothing to a connection that was opened ahead of need: there it would be the response to what is sent next.
      await silent.closed()
      assert.equal(silent.received(), '')
      for (const client of [dribbling, second]) {
        await client.closed()
        assert.match(client.received(), /HTTP\/1\.1 408 Request Timeout\r\n/)
      }

      const head = frame(FRAME.headers, FLAG.endStream, 1, block())
      const byBytes = await http2(GREETING)
      void dribble(byBytes, REQUEST.slice(0, -1), 60)
      const byFrames = await http2(GREETING + head)
      void dribble(byFrames, frame(FRAME.continuation, 0, 1, `\u0000\u0001a\u007f${'b'.repeat(127)}`), 20)
      const served = await http2(GREETING + REQUEST)
      // While it is busy, the end of its time is not said.
      await waitFor('the first request to be answered', () => /ok/.test(served.received()))
      served.send(frame(FRAME.headers, FLAG.endStream, 3, block()))
      const slow2 = [
        await http2(''),
        await http2(GREETING.slice(0, 10)),
        await http2(GREETING + head),
        await http2(GREETING + REQUEST.slice(0, 12)),
        byBytes,
        byFrames,
        served,
      ]
      for (const client of slow2) await client.closed()
      assert.match(served.received(), /ok/)
      const lines = logged.filter(({ error }) => error === 'HTTP2_HEADER_TIMEOUT')
      assert.ok(lines.length >= 6, `${lines.length} lines`)
      assert.ok(lines.every(({ client_ip }) => client_ip === '127.0.0.1'))
      assert.equal(requests.filter(({ status }) => status !== 200).length, 0)

      for (const client of kept) assert.ok(!client.socket.closed, 'an idle connection has been closed')
      idle.send(get(3))
      await waitFor('the idle session to be served', () =>
        parseFrames(idle.received()).some(({ streamId }) => streamId === 3),
      )
    },
  )

  test(
    'an idle connection is closed after keep_alive_timeout, whatever noise it makes',
    TIMEOUT,
    async (t) => {
      const waiting: (() => void)[] = []
      const upstream = await startUpstream(t, ({ socket, received }) => {
        if (received.includes('/slow')) waiting.push(() => socket.write(OK))
        else socket.write(OK)
      })
      const { port } = await startSiteServer(t, [siteOf(upstream.port)], { keepAliveTimeoutMs: 1_000 })
      const http1 = await connectRaw(t, port)
      http1.send(GET)
      const http2 = await connectRaw(t, port, { alpn: HTTP2 })
      http2.send(GREETING + REQUEST)
      const unused = await connectRaw(t, port, { alpn: HTTP2 })
      unused.send(GREETING)
      const busy = await connectRaw(t, port, { alpn: HTTP2 })
      busy.send(GREETING + get(1, '/slow'))
      void dribble(http2, PING, 10)
      for (const client of [http1, http2, unused]) await client.closed()
      assert.equal(goawayCode(http2.received()), 0)
      assert.equal(goawayCode(unused.received()), 0)
      assert.ok(!busy.socket.closed)
      assert.equal(waiting.length, 1)
      for (const answer of waiting) answer()
      await busy.closed()
      assert.match(busy.received(), /ok/)
    },
  )

  test(
    'a handshake that is not over within tls_handshake_timeout, from the first byte to the last',
    TIMEOUT,
    async (t) => {
      const { port, logged, connections } = await startSiteServer(t, [], { tlsHandshakeTimeoutMs: 2_000 })
      const hello = encodeRecords(encodeHello({ extensions: [serverNameExtension('a.example')] }))
      const half = await connectPlain(t, port)
      half.send(hello.toString('latin1', 0, 20))
      // A client that gets our answer and says no more.
      const mute = await connectPlain(t, port)
      mute.send(await realHello(t))
      const silent = await connectPlain(t, port)
      await waitFor('all to be closed', () => connections.open === 0)
      await half.closed()
      await silent.closed()
      const reasons = logged.filter(({ event }) => event === 'TLS_REJECTED').map(({ reason }) => reason)
      assert.match(mute.received(), /^\u0016\u0003/u)
      assert.deepEqual(reasons, ['timeout', 'timeout'])
    },
  )

  test(
    'an answer that nobody reads is given up after body_stall_timeout, and its upstream let go',
    TIMEOUT,
    async (t) => {
      const endless = 'x'.repeat(1024 * 1024)
      const upstream = await startUpstream(t, ({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${endless.length * 64}\r\n\r\n`)
        const more = (): void => {
          while (!socket.destroyed && socket.write(endless)) {}
        }
        socket.on('drain', more)
        more()
      })
      const { port, logged, requests, connections } = await startSiteServer(t, [siteOf(upstream.port)], {
        bodyStallTimeoutMs: 1_000,
      })
      const http1 = await connectRaw(t, port)
      http1.socket.pause()
      http1.send(GET)
      const http2 = await connectRaw(t, port, { alpn: HTTP2 })
      http2.socket.pause()
      // A window of its own that is as large as can be: what is full is the socket.
      const wide = frame(FRAME.settings, 0, 0, `\u0000\u0004${uint32(2 ** 31 - 1)}`)
      http2.send(GREETING + wide + frame(FRAME.windowUpdate, 0, 0, uint32(2 ** 30)) + REQUEST)
      // This one reads, but opens no window.
      const shut = await connectRaw(t, port, { alpn: HTTP2 })
      shut.send(GREETING + REQUEST)
      const reading = await connectRaw(t, port)
      reading.send(GET)
      let sipped = 0
      reading.socket.on('data', (chunk: Buffer) => {
        sipped += chunk.length
        if (sipped < SIP_BYTES) return
        sipped = 0
        reading.socket.pause()
        setTimeout(() => reading.socket.resume(), 100)
      })

      await waitFor('three to be given up', () => requests.length === 3)
      await waitFor('only those who read to be there', () => connections.open === 2)
      assert.ok(
        parseFrames(shut.received()).some(({ type, streamId }) => type === FRAME.rstStream && streamId === 1),
      )
      assert.ok(!reading.socket.closed)
      await waitFor('their upstreams to be let go', () => upstream.connections.filter(isGone).length === 3)
      const lines = logged.filter(({ error }) => error === 'answer not read')
      assert.ok(lines.length >= 3 && lines.every(({ client_ip }) => client_ip === '127.0.0.1'))
    },
  )

  test('the end of an answer that nobody reads: a window of nothing', TIMEOUT, async (t) => {
    const upstream = await startUpstream(t, answering(OK))
    const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)], {
      bodyStallTimeoutMs: 1_000,
    })
    const client = await connectRaw(t, port, { alpn: HTTP2 })
    client.send(GREETING + frame(FRAME.settings, 0, 0, `\u0000\u0004${uint32(0)}`) + REQUEST)
    await client.until(greeting)
    await waitFor('it to be given up', () => requests.length === 1)
    await waitFor('it to be told', () =>
      parseFrames(client.received()).some(({ type }) => type === FRAME.rstStream),
    )
  })

  test('many answers on one slow session: each gets little, none is given up', TIMEOUT, async (t) => {
    const page = Buffer.alloc(512 * 1024, 'x')
    const upstream = await startUpstream(
      t,
      answering(`HTTP/1.1 200 OK\r\nContent-Length: ${page.length}\r\n\r\n${page.toString('latin1')}`),
    )
    const { port, requests } = await startSiteServer(t, [siteOf(upstream.port)], {
      bodyStallTimeoutMs: 1_000,
      upstreamConnectionsPerSite: 30,
    })
    const client = await connectRaw(t, port, { alpn: HTTP2 })
    // Windows as small as can be, and one stream after the other has its turn.
    client.send(GREETING + frame(FRAME.settings, 0, 0, `\u0000\u0004${uint32(0)}`))
    const streams = [1, 3, 5, 7, 9, 11]
    for (const stream of streams) client.send(get(stream))
    const startMs = performance.now()
    for (let turn = 0; performance.now() - startMs < 4_500; turn++) {
      const stream = streams[turn % streams.length] ?? 1
      client.send(
        frame(FRAME.windowUpdate, 0, stream, uint32(1_000)) + frame(FRAME.windowUpdate, 0, 0, uint32(1_000)),
      )
      await delay(100)
    }
    assert.equal(requests.length, 0)
    assert.ok(!parseFrames(client.received()).some(({ type }) => type === FRAME.rstStream))
  })

  test('an answer behind another one is not the client’s fault', TIMEOUT, async (t) => {
    const upstream = await startUpstream(t, ({ socket, received }) => {
      if (received.includes('/slow')) setTimeout(() => socket.write(OK), 2_500)
      else socket.write(OK)
    })
    const { port } = await startSiteServer(t, [siteOf(upstream.port)], { bodyStallTimeoutMs: 1_000 })
    const client = await connectRaw(t, port)
    client.send(`GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n${GET}`)
    assert.equal((await client.response()).status, 200)
    assert.equal((await client.response()).status, 200)
  })
})
