// A listener without TLS: sites over plain HTTP, beside another listener whose CA cannot be reached.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { test } from 'node:test'
import { buffer } from 'node:stream/consumers'
import { WebSocket, WebSocketServer } from 'ws'
import { runCommand } from '../../harness/admin.ts'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'

const HOST = 'site.test'
/** An address of this machine that the configuration trusts. */
const TUNNEL = '127.0.0.2'
const HSTS = 'strict-transport-security'

interface PlainRequest {
  readonly port: number
  readonly method?: string
  readonly from?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

async function ask({ port, method = 'GET', from = '127.0.0.1', headers, body }: PlainRequest) {
  const sent = http.request({
    host: '127.0.0.1',
    port,
    method,
    localAddress: from,
    path: '/a?b',
    headers: { host: HOST, ...headers },
    agent: false,
  })
  sent.end(body)
  const [response] = await once(sent, 'response')
  return { status: response.statusCode, headers: response.headers, body: String(await buffer(response)) }
}

test('plain HTTP: sites are served on http_port, whatever other listeners wait for', async (t) => {
  const origin = await HttpOrigin.start(t, (incoming, response) => {
    response.setHeader(HSTS, 'max-age=1')
    buffer(incoming).then(
      (body) => response.end(`served ${incoming.url} ${body.length}`),
      () => response.destroy(),
    )
  })
  const webSockets = new WebSocketServer({ server: origin.server })
  t.after(() => webSockets.close())
  webSockets.on('connection', (peer) => peer.on('message', (data) => peer.send(data)))
  const [plainPort, otherPort, httpsPort] = [await freePort(), await freePort(), await freePort()]
  const plain = (port: number) => ({
    bind_addr: '127.0.0.1',
    http_port: port,
    trusted_proxies: [TUNNEL],
    tls: { mode: 'off' },
    sites: [
      {
        host: HOST,
        upstream: origin.upstream,
        response_headers: { [HSTS]: 'max-age=2', 'X-Own': '{scheme}' },
      },
    ],
  })
  const waiting = {
    bind_addr: '127.0.0.1',
    http_port: 0,
    https_port: httpsPort,
    tls: {
      mode: 'acme',
      acme_domains: ['other.test'],
      acme_cache_dir: 'acme',
      acme_directory: 'https://127.0.0.1:1/directory',
      acme_contact: 'mailto:ops@other.test',
    },
    sites: [{ host: 'other.test', upstream: origin.upstream }],
  }
  const proxy = await startProxy(t, { listeners: [waiting, plain(plainPort)] })
  assert.match(proxy.stdout.text, / INFO READY workers=\d+ sites=2 listeners_waiting=1\n/u)

  const served = await ask({ port: plainPort })
  assert.deepEqual([served.status, served.body], [200, 'served /a?b 0'])
  assert.deepEqual([served.headers['x-own'], served.headers[HSTS]], ['http', undefined])
  const posted = await ask({ port: plainPort, method: 'POST', body: 'x'.repeat(100_000) })
  assert.equal(posted.body, 'served /a?b 100000')
  assert.equal((await ask({ port: plainPort, headers: { host: 'unknown.test' } })).status, 404)

  // A spoofed field of anybody is worth nothing; the tunnel is believed, and its clients get HSTS.
  const spoofed = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9' }
  assert.equal((await ask({ port: plainPort, headers: spoofed })).headers['x-own'], 'http')
  const tunnelled = await ask({ port: plainPort, from: TUNNEL, headers: spoofed })
  assert.deepEqual([tunnelled.headers['x-own'], tunnelled.headers[HSTS]], ['https', 'max-age=2'])
  const [first, , direct, forwarded] = origin.requests
  assert.ok(first !== undefined && direct !== undefined && forwarded !== undefined)
  assert.deepEqual(valuesOf(first, 'x-forwarded-proto'), ['http'])
  assert.deepEqual(
    [valuesOf(direct, 'x-forwarded-proto'), valuesOf(direct, 'x-real-ip')],
    [['http'], ['127.0.0.1']],
  )
  assert.deepEqual(
    [valuesOf(forwarded, 'x-forwarded-proto'), valuesOf(forwarded, 'x-real-ip')],
    [['https'], ['203.0.113.9']],
  )

  const socket = new WebSocket(`ws://127.0.0.1:${plainPort}/chat`, { headers: { Host: HOST } })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  socket.send('hello')
  const [echo] = await once(socket, 'message')
  assert.equal(String(echo), 'hello')

  // A reload moves the listener to another port; the WebSocket of the old one goes on until its worker has to end.
  writeConfig(proxy.directory, { listeners: [plain(otherPort)] })
  const { code, stdout } = await runCommand(proxy, 'reload')
  assert.equal(code, 0, stdout)
  assert.equal((await ask({ port: otherPort })).status, 200)
  await assert.rejects(ask({ port: plainPort }), { code: 'ECONNREFUSED' })
  const certs = await runCommand(proxy, 'certs', '--json')
  assert.deepEqual(JSON.parse(certs.stdout).certificates, [])
})
