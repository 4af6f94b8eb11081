// Bodies are streamed with backpressure, never held. The slower side takes 50 MB/s, the
// faster one offers all it can: what a worker held back would show in its memory.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ClientHttp2Stream } from 'node:http2'
import https from 'node:https'
import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { sink, source } from '../../harness/flow.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { memoryOf, resetPeakRss } from '../../harness/processes.ts'
import type { RequestOptions } from '../../harness/clients/request.ts'
import { connect2, request } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { IS_FULL } from '../../harness/size.ts'

const MIB = 1024 * 1024
const BODY_BYTES = IS_FULL ? 1024 * MIB : 200 * MIB
const SLOW_BYTES_PER_SECOND = 50 * MIB
const MAX_GROWTH_BYTES = 64 * MIB
/** On a busy machine the collector may come late in one transfer; a body that is held shows in each. */
const TRANSFERS = 2
const TIMEOUT_MS = IS_FULL ? 240_000 : 60_000

interface Exchange {
  /** Where the request body goes; ended by the caller. */
  readonly upload: Writable
  /** Resolves with the status and the response body. */
  response(): Promise<{ status: number; body: Readable }>
}

const OPEN = { 'HTTP/1.1': openHttp1, 'HTTP/2': openHttp2 } as const

for (const protocol of ['HTTP/1.1', 'HTTP/2'] as const) {
  test(
    `download over ${protocol}: whole, and the worker holds next to nothing`,
    { timeout: TIMEOUT_MS },
    async (t) => {
      let sent = source(BODY_BYTES)
      const origin = await HttpOrigin.start(t, (incoming, response) => {
        if (incoming.url === '/idle') response.end()
        else pipeline(sent.stream, response).catch(() => {})
      })
      await assertSmall(t, origin, async (target) => {
        sent = source(BODY_BYTES)
        const exchange = OPEN[protocol](t, target, 'GET')
        exchange.upload.end()
        const { status, body } = await exchange.response()
        assert.equal(status, 200)
        const received = sink(SLOW_BYTES_PER_SECOND)
        await pipeline(body, received.stream)
        assert.equal(received.bytes(), BODY_BYTES)
        assert.equal(received.hash.digest('hex'), sent.hash.digest('hex'))
      })
    },
  )

  test(
    `upload over ${protocol}: whole, and the worker holds next to nothing`,
    { timeout: TIMEOUT_MS },
    async (t) => {
      let received = sink(SLOW_BYTES_PER_SECOND)
      const origin = await HttpOrigin.start(t, (incoming, response) => {
        if (incoming.url === '/idle') response.end()
        else
          pipeline(incoming, received.stream).then(
            () => response.end('taken'),
            () => response.destroy(),
          )
      })
      await assertSmall(t, origin, async (target) => {
        received = sink(SLOW_BYTES_PER_SECOND)
        const sent = source(BODY_BYTES)
        const exchange = OPEN[protocol](t, target, 'POST')
        const [{ status }] = await Promise.all([exchange.response(), pipeline(sent.stream, exchange.upload)])
        assert.equal(status, 200)
        assert.equal(received.bytes(), BODY_BYTES)
        assert.equal(received.hash.digest('hex'), sent.hash.digest('hex'))
      })
    },
  )
}

async function assertSmall(
  t: TestContext,
  origin: HttpOrigin,
  exchange: (target: RequestOptions) => Promise<void>,
): Promise<void> {
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 1, body: { limit_bytes: 2 * 1024 * MIB } },
  })
  const [worker] = proxy.workerPids()
  assert.ok(worker !== undefined)
  const { status } = await request({ ...target, path: '/idle' })
  assert.equal(status, 200)
  const idle = memoryOf(worker)
  let growth = Infinity
  for (let transfer = 0; transfer < TRANSFERS && growth > MAX_GROWTH_BYTES; transfer++) {
    resetPeakRss(worker)
    await exchange(target)
    growth = memoryOf(worker).peakRssBytes - idle.rssBytes
    t.diagnostic(`worker: ${toMib(idle.rssBytes)} MiB idle, ${toMib(growth)} MiB more at its peak`)
  }
  assert.ok(growth <= MAX_GROWTH_BYTES, `the worker grew by ${toMib(growth)} MiB in each transfer`)
}

function openHttp1(_t: TestContext, { port, ca }: RequestOptions, method: string): Exchange {
  const upload = https.request({
    host: '127.0.0.1',
    port,
    servername: HOST,
    ca,
    method,
    path: '/large',
    headers: { host: HOST },
    agent: false,
  })
  const answered = once(upload, 'response')
  return {
    upload,
    async response() {
      const [response] = await answered
      return { status: response.statusCode, body: response }
    },
  }
}

function openHttp2(t: TestContext, target: RequestOptions, method: string): Exchange {
  const session = connect2(target)
  t.after(() => session.destroy())
  const stream: ClientHttp2Stream = session.request({
    ':method': method,
    ':path': '/large',
    ':authority': HOST,
  })
  const answered = once(stream, 'response')
  return {
    upload: stream,
    async response() {
      const [head] = await answered
      if (method === 'POST') stream.resume()
      return { status: Number(head[':status']), body: stream }
    },
  }
}

function toMib(bytes: number): number {
  return Math.round(bytes / MIB)
}
