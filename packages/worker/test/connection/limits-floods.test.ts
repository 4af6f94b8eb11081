// Frames that cost and ask for nothing: every flood ends its own session, and a neighbour never notices.
// What of HTTP/2 is a flood is said in docs/http2.md; here it comes through TLS, at full speed.
import assert from 'node:assert/strict'
import { constants } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connectHttp2, request } from '../support/http2/client.ts'
import { FLAG, FRAME } from '../support/http2/frames.ts'
import { block, frame, get, goawayCode, GREETING, PING, SETTINGS, uint32 } from '../support/http2/text.ts'
import type { RawClient } from '../../../../test/harness/clients/raw-client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { answering, OK, startUpstream } from '../../../../test/harness/raw-upstream.ts'
import type { RunningSiteServer } from '../support/site-server.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 30_000 }
const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_FLOW_CONTROL_ERROR } = constants

const UNKNOWN_TYPE = 0x77
const WINDOW_UPDATE = frame(FRAME.windowUpdate, 0, 0, uint32(1))

async function connect(t: TestContext, port: number): Promise<RawClient> {
  const client = await connectRaw(t, port, { alpn: ['h2'] })
  client.send(GREETING)
  return client
}

interface Pace {
  readonly frames: number
  readonly everyMs: number
}

/** Some 64 KB at a time, as fast as it is taken. */
const HEADLONG: Pace = { frames: 4_000, everyMs: 0 }
/** Too few at a time for a queue of acknowledgements to fill. */
const STEADY: Pace = { frames: 100, everyMs: 10 }

/** Sends what `next` makes until the server has closed. */
async function flood(client: RawClient, next: (stream: number) => string, pace: Pace): Promise<void> {
  const { socket } = client
  for (let stream = 1; !socket.closed;) {
    let chunk = ''
    for (let i = 0; i < pace.frames; i++) {
      chunk += next(stream)
      stream += 2
    }
    if (socket.writable) socket.write(chunk, 'latin1')
    await waitFor('the socket to take more', () => socket.closed || !socket.writableNeedDrain)
    await delay(pace.everyMs)
  }
}

/** The flood is over, nothing of it is left, and a neighbour that was there before is served. */
async function assertEnded(
  { connections }: RunningSiteServer,
  client: RawClient,
  neighbour: Awaited<ReturnType<typeof connectHttp2>>,
  codes: readonly number[],
): Promise<void> {
  // A client whose own bytes meet a closed socket may be reset before it has read the reason.
  const code = goawayCode(client.received())
  assert.ok(code === undefined || codes.includes(code), `GOAWAY ${code}`)
  assert.equal((await request(neighbour)).status, 200)
  await waitFor('only the neighbour to be there', () => connections.open === 1)
}

async function start(t: TestContext) {
  const upstream = await startUpstream(t, answering(OK))
  const running = await startSiteServer(t, [siteOf(upstream.port)], {
    http2Streams: 10,
    requestsPerConnection: 1_000_000,
  })
  return { upstream, running, neighbour: await connectHttp2(t, running.port) }
}

const OURS: readonly (readonly [what: string, next: () => string, pace: Pace])[] = [
  ['CVE-2019-9512: PING', () => PING, STEADY],
  ['CVE-2019-9515: SETTINGS', () => SETTINGS, STEADY],
  ['WINDOW_UPDATE', () => WINDOW_UPDATE, HEADLONG],
]

for (const [what, next, pace] of OURS) {
  test(`a flood of ${what} is ended within seconds`, TIMEOUT, async (t) => {
    const { running, neighbour } = await start(t)
    const client = await connect(t, running.port)
    await flood(client, next, pace)
    await assertEnded(running, client, neighbour, [NGHTTP2_ENHANCE_YOUR_CALM])
    const line = running.logged.find(({ event }) => event === 'CLIENT_ERROR')
    assert.deepEqual(
      { level: line?.level, client_ip: line?.['client_ip'], error: line?.['error'] },
      { level: 'info', client_ip: '127.0.0.1', error: 'HTTP2_FLOOD' },
    )
  })
}

const KINDS: readonly (readonly [
  what: string,
  next: (stream: number) => string,
  codes: readonly number[],
])[] = [
  [
    'CVE-2023-44487: HEADERS and RST_STREAM',
    (stream) => get(stream) + frame(FRAME.rstStream, 0, stream, uint32(8)),
    [NGHTTP2_ENHANCE_YOUR_CALM],
  ],
  [
    'CVE-2025-8671: requests that make us reset them',
    (stream) => get(stream) + frame(FRAME.windowUpdate, 0, stream, uint32(0)),
    [NGHTTP2_ENHANCE_YOUR_CALM],
  ],
  [
    'streams beyond the limit',
    (stream) => frame(FRAME.headers, FLAG.endHeaders, stream, block('POST')),
    [NGHTTP2_ENHANCE_YOUR_CALM],
  ],
  [
    'CVE-2019-9518: empty DATA',
    (stream) =>
      (stream === 1 ? frame(FRAME.headers, FLAG.endHeaders, 1, block('POST')) : '') + frame(FRAME.data, 0, 1),
    [NGHTTP2_ENHANCE_YOUR_CALM],
  ],
  [
    'CVE-2024-27983: CONTINUATION',
    (stream) =>
      (stream === 1 ? frame(FRAME.headers, 0, 1, block()) : '') +
      frame(FRAME.continuation, 0, 1, '\u0000\u0001a\u0001b'),
    [NGHTTP2_ENHANCE_YOUR_CALM],
  ],
  [
    'CVE-2019-9513: PRIORITY',
    () => frame(FRAME.priority, 0, 3, `${uint32(0)}\u0010`),
    [NGHTTP2_ENHANCE_YOUR_CALM],
  ],
  ['frames of no known type', () => frame(UNKNOWN_TYPE, 0, 0, 'x'.repeat(100)), [NGHTTP2_ENHANCE_YOUR_CALM]],
  [
    'WINDOW_UPDATE beyond 2^31',
    () => frame(FRAME.windowUpdate, 0, 0, uint32(2 ** 31 - 1)),
    [NGHTTP2_FLOW_CONTROL_ERROR],
  ],
]

for (const [what, next, codes] of KINDS) {
  test(`a flood of ${what} is ended`, TIMEOUT, async (t) => {
    const { running, neighbour, upstream } = await start(t)
    const client = await connect(t, running.port)
    await flood(client, next, HEADLONG)
    await assertEnded(running, client, neighbour, codes)
    assert.ok(upstream.connections.length <= 32, `${upstream.connections.length} upstream connections`)
    await waitFor('every request to be over', () => running.requests.every(({ status }) => status !== 0))
  })
}

test('PINGs whose answers are never read end the connection', TIMEOUT, async (t) => {
  const { running, neighbour } = await start(t)
  const client = await connect(t, running.port)
  client.socket.pause()
  await flood(client, () => PING, HEADLONG)
  await assertEnded(running, client, neighbour, [NGHTTP2_ENHANCE_YOUR_CALM])
})

test('a busy session is no flood: pings and window updates beside bodies and without', TIMEOUT, async (t) => {
  const { running } = await start(t)
  const client = await connect(t, running.port)
  const startMs = performance.now()
  let stream = 1
  // Two or three sweeps long.
  while (performance.now() - startMs < 2_500) {
    client.send(frame(FRAME.headers, FLAG.endHeaders, stream, block('POST')))
    for (let sent = 0; sent < 50_000; sent += 10_000) {
      client.send(frame(FRAME.data, 0, stream, 'x'.repeat(10_000)) + WINDOW_UPDATE + PING)
    }
    client.send(frame(FRAME.data, FLAG.endStream, stream))
    stream += 2
    await delay(50)
  }
  assert.ok(!client.socket.closed)
  assert.equal(goawayCode(client.received()), undefined)
})

test(
  'a pipeline of a thousand requests: a hundred are answered, and then the connection ends',
  TIMEOUT,
  async (t) => {
    const { running } = await start(t)
    const client = await connectRaw(t, running.port)
    client.send('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'.repeat(1_000))
    await client.closed()
    const answers = client.received().split('HTTP/1.1 200 OK\r\n').slice(1)
    assert.equal(answers.length, 100)
    assert.match(answers.at(-1) ?? '', /\r\nconnection: close\r\n/i)
    assert.equal(running.requests.length, 100)
  },
)
