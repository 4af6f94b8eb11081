// What 127.0.0.1:health_check_port says, to probes, scrapers and people.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { openPage } from '../../harness/clients/browser.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { Proxy, startProxy } from '../../harness/proxy.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { connect2, request, requestOn } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { waitFor } from '../../harness/wait.ts'

const LISTENER = {
  bind_addr: '127.0.0.1',
  https_port: 65_001,
  http_port: 0,
  tls: { mode: 'internal' },
  sites: [{ host: HOST, upstream: '127.0.0.1:9' }],
}
const TEST = { timeout: 120_000 }
const SCREENSHOT = process.env['REVERSE_PROXY_SCREENSHOT']

interface HealthAnswer {
  readonly status: number
  readonly type: string | undefined
  readonly body: string
}

async function ask(port: number, path: string, options: http.RequestOptions = {}): Promise<HealthAnswer> {
  const sent = http.get({ host: '127.0.0.1', port, path, agent: false, ...options })
  const [response]: http.IncomingMessage[] = await once(sent, 'response')
  if (response === undefined) throw new Error('no answer')
  return {
    status: response.statusCode ?? 0,
    type: response.headers['content-type'],
    body: await text(response),
  }
}

/** `reverse_proxy_requests_total{site="a"} 3` -> 3; a series that is not there is 0. */
async function metric(port: number, series: string): Promise<number> {
  const { body } = await ask(port, '/metrics')
  const line = body.split('\n').find((one) => one.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}

test('health: alive, ready, and neither when no worker serves', TEST, async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const port = await freePort()
  const { proxy } = await serveSite(t, {
    upstream: origin.upstream,
    config: { health_check_port: port, workers: 1, shutdown_timeout_secs: 2 },
  })
  assert.deepEqual(await ask(port, '/health'), { status: 200, type: undefined, body: '' })
  const ready = await ask(port, '/health/ready')
  assert.equal(ready.status, 200)
  assert.equal(JSON.parse(ready.body).ready, true)

  const head = await ask(port, '/events', { method: 'HEAD' })
  assert.deepEqual(head, { status: 200, type: 'text/event-stream', body: '' })

  // RFC 9110 9.1, and a page of another site that has its name resolve to this machine.
  assert.equal((await ask(port, '/health', { method: 'POST' })).status, 405)
  assert.equal((await ask(port, '/nothing')).status, 404)
  assert.equal((await ask(port, '/metrics', { headers: { host: 'evil.example' } })).status, 403)
  assert.equal((await ask(port, '/metrics', { headers: { host: `localhost:${port}` } })).status, 200)

  const [worker = 0] = proxy.workerPids()
  process.kill(worker, 'SIGKILL')
  await waitFor('nobody to serve', async () => (await ask(port, '/health')).status === 503)
  assert.equal((await ask(port, '/health/ready')).status, 503)
  await waitFor('a successor', async () => (await ask(port, '/health')).status === 200)
})

test('health: a taken port fails the start, with its holder', TEST, async (t) => {
  const port = await freePort()
  const holder = http.createServer().listen(port, '127.0.0.1')
  await once(holder, 'listening')
  t.after(() => holder.close())
  const proxy = new Proxy(t, { health_check_port: port, listeners: [LISTENER] })
  assert.equal((await proxy.exited).code, 1)
  assert.match(
    proxy.stderr.text,
    new RegExp(`port ${port} on 127\\.0\\.0\\.1 is taken by .*\\(pid ${process.pid}\\)`),
  )
  assert.doesNotMatch(proxy.stdout.text, / WORKER_/)
})

function requestSeries(protocol: string, status: string): string {
  return `reverse_proxy_requests_total{site="${HOST}",protocol="${protocol}",status="${status}"}`
}

test(
  'metrics: requests, handshakes and upstream errors are counted, and survive the death of a worker',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (incoming, response) => {
      if (incoming.url === '/cut') incoming.socket.destroy()
      else response.writeHead(incoming.url === '/missing' ? 404 : 200).end('served')
    })
    const port = await freePort()
    const { proxy, target, httpsPort } = await serveSite(t, {
      upstream: origin.upstream,
      config: { health_check_port: port },
    })
    const silent = await occupy(t, port)
    assert.ok((await pipeline(t, port, 400)) <= 16, 'what one connection can have at once is bounded')
    for (let count = 0; count < 3; count++) await request(target)
    await request({ ...target, path: '/missing' })
    await request({ ...target, path: '/cut', method: 'POST', body: 'x' })
    const session = connect2(target)
    for (let count = 0; count < 2; count++) await requestOn(session, target)
    session.close()
    await handshake({ port: httpsPort, serverName: 'unknown.test' })

    const assertCounted = async (): Promise<void> => {
      assert.equal(await metric(port, requestSeries('http/1.1', '2xx')), 3)
      assert.equal(await metric(port, requestSeries('http/1.1', '4xx')), 1)
      assert.equal(await metric(port, requestSeries('http/1.1', '5xx')), 1)
      assert.equal(await metric(port, requestSeries('h2', '2xx')), 2)
      assert.equal(await metric(port, `reverse_proxy_request_duration_seconds_count{site="${HOST}"}`), 7)
      assert.equal(await metric(port, 'reverse_proxy_upstream_errors_total{error="closed"}'), 1)
      assert.equal(await metric(port, 'reverse_proxy_tls_rejected_total{reason="unknown_server_name"}'), 1)
      const full = await metric(port, 'reverse_proxy_tls_handshakes_total{resumed="false"}')
      assert.equal(full + (await metric(port, 'reverse_proxy_tls_handshakes_total{resumed="true"}')), 6)
    }
    await waitFor(
      'every worker to have reported',
      async () => (await metric(port, `reverse_proxy_request_duration_seconds_count{site="${HOST}"}`)) === 7,
    )
    await waitFor(
      'the refusal to have been reported',
      async () =>
        (await metric(port, 'reverse_proxy_tls_rejected_total{reason="unknown_server_name"}')) === 1,
    )
    await assertCounted()

    for (const pid of proxy.workerPids()) process.kill(pid, 'SIGKILL')
    await waitFor(
      'both to be replaced',
      () => proxy.stdout.lines.filter((line) => / WORKER_READY /.test(line)).length === 4,
    )
    await waitFor(
      'metrics that are new',
      async () => (await metric(port, 'reverse_proxy_worker_unexpected_exits_total')) === 2,
    )
    await assertCounted()

    await waitFor('the first worker to have reported', async () =>
      /^reverse_proxy_resident_memory_bytes\{worker="1"/m.test((await ask(port, '/metrics')).body),
    )
    const { body, type } = await ask(port, '/metrics')
    assert.match(type ?? '', /^text\/plain; version=0\.0\.4/)
    for (const line of body.trimEnd().split('\n'))
      assert.match(
        line,
        /^(?:# (?:HELP|TYPE) reverse_proxy_\w+ .+|reverse_proxy_\w+(?:\{(?:\w+="(?:[^"\\\n]|\\.)*",?)+\})? -?[\d.e+-]+)$/,
      )
    assert.match(
      body,
      /^reverse_proxy_certificate_not_after_seconds\{listener="[^"]+",name="site\.test",serial="[0-9A-F]+"\} \d+/m,
    )
    assert.match(body, /^reverse_proxy_resident_memory_bytes\{worker="1",pid="\d+"\} \d+/m)
    await waitFor('who says nothing to be let go', () => silent.every(({ closed }) => closed), 10_000)
  },
)

/** Most of the connections that there may be at once, without a word. */
async function occupy(t: TestContext, port: number): Promise<readonly net.Socket[]> {
  return await Promise.all(Array.from({ length: 40 }, async () => await connect(t, port)))
}

/** How many of so many requests sent at once are answered 200 before the connection ends. */
async function pipeline(t: TestContext, port: number, requests: number): Promise<number> {
  const socket = await connect(t, port)
  socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(requests))
  let received = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => (received += chunk))
  await waitFor('the connection to end', () => socket.closed)
  return received.split('HTTP/1.1 200 OK').length - 1
}

async function connect(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1').on('error', () => {})
  t.after(() => socket.destroy())
  socket.resume()
  await once(socket, 'connect')
  return socket
}

test(
  'status page: shows what runs, live, in a real browser, with nothing from anywhere else',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (incoming, response) => {
      if (incoming.url === '/missing') response.writeHead(404)
      setTimeout(() => response.end('served'), Math.random() * 20)
    })
    const port = await freePort()
    const httpsPort = await freePort()
    const proxy = await startProxy(t, {
      health_check_port: port,
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: httpsPort,
          http_port: 0,
          tls: { mode: 'internal' },
          sites: [
            { host: 'shop.localhost', upstream: origin.upstream },
            { host: 'blog.localhost', upstream: origin.upstream },
          ],
        },
      ],
    })
    const ca = readFileSync(join(proxy.stateDir, 'internal-ca/root.pem'), 'utf8')
    const target = { host: 'shop.localhost', port: httpsPort, ca }
    const { page, problems } = await openPage(t, `http://127.0.0.1:${port}/`)
    const load = new AbortController()
    t.after(() => load.abort())
    const clients = Array.from({ length: 3 }, async () => {
      while (!load.signal.aborted) {
        const host = Math.random() < 0.3 ? 'blog.localhost' : target.host
        await request({ ...target, host, path: Math.random() < 0.1 ? '/missing' : '/' })
      }
    })

    await page.locator('#state.good').waitFor()
    await page.locator('#workers tbody tr').nth(1).waitFor()
    assert.equal(await page.locator('#workers tbody tr').count(), 2)
    await page.locator('#sites tbody tr', { hasText: 'shop.localhost' }).waitFor()
    assert.match(
      await page.locator('#certificates tbody').innerText(),
      /shop\.localhost[\s\S]*valid[\s\S]*\b(?:6\.9|7\.0)\b/,
    )
    assert.match(await page.locator('#events tbody').innerText(), /READY/)
    // Live: the plots grow, and what is drawn comes from the traffic.
    await waitFor(
      'a rate',
      async () => Number((await page.locator('#rate').innerText()).replaceAll(',', '')) > 1,
      20_000,
    )
    await waitFor(
      'a few points',
      async () =>
        ((await page.locator('#rate-plot path').getAttribute('d')) ?? '').split('L').length >=
        (SCREENSHOT === undefined ? 2 : 18),
      120_000,
    )
    if (SCREENSHOT !== undefined) await page.screenshot({ path: SCREENSHOT, fullPage: true })
    load.abort()
    await Promise.all(clients)
    assert.deepEqual(problems, [])

    // Another program than this one is at the port: the page says so.
    await proxy.stop()
    await page.getByText('not reachable').waitFor()
  },
)
