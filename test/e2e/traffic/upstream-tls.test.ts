// An https upstream is believed only with a certificate that names it, from a root of the
// system or of the site's own file, which the supervisor reads and a reload reads again.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { askAdmin } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { freePort, listen } from '../../harness/ports.ts'
import { startProxy } from '../../harness/proxy.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { TestCa, type CertificatePair } from '../../harness/tls-material.ts'

interface TlsOrigin {
  readonly port: number
  /** What each connection asked for; false for none. */
  readonly serverNames: Set<string | false>
  show(pair: CertificatePair): void
}

async function startTlsOrigin(t: TestContext, pair: CertificatePair): Promise<TlsOrigin> {
  const server = https.createServer({ cert: pair.certPem, key: pair.keyPem }, (_request, response) => {
    response.writeHead(200, { Connection: 'close' }).end('over tls')
  })
  const serverNames = new Set<string | false>()
  server.on('secureConnection', (socket: TLSSocket) => serverNames.add(socket.servername ?? false))
  const webSockets = new WebSocketServer({ server })
  webSockets.on('connection', (peer) => peer.on('message', (data: Buffer) => peer.send(data)))
  const port = await listen(t, server)
  t.after(() => server.closeAllConnections())
  return {
    port,
    serverNames,
    show: ({ certPem: cert, keyPem: key }) => server.setSecureContext({ cert, key }),
  }
}

test('https upstreams: the name, the roots of the system, the site’s own, and a reload of that', async (t) => {
  const [front, company, next, system] = [
    await TestCa.create(t),
    await TestCa.create(t),
    await TestCa.create(t),
    await TestCa.create(t),
  ]
  const named = await startTlsOrigin(t, await company.issue(['localhost']))
  const addressed = await startTlsOrigin(t, await company.issue(['127.0.0.1']))
  const known = await startTlsOrigin(t, await system.issue(['localhost']))
  const caPath = join(temporaryDirectory(t), 'company.pem')
  copyFileSync(company.certPath, caPath)
  const sites = {
    'named.test': { upstream: `localhost:${named.port}`, upstream_ca_file: caPath },
    'untrusted.test': { upstream: `localhost:${named.port}` },
    'misnamed.test': { upstream: `127.0.0.1:${named.port}`, upstream_ca_file: caPath },
    'addressed.test': { upstream: `127.0.0.1:${addressed.port}`, upstream_ca_file: caPath },
    'unaddressed.test': { upstream: `localhost:${addressed.port}`, upstream_ca_file: caPath },
    'system.test': { upstream: `localhost:${known.port}` },
    'both.test': { upstream: `localhost:${known.port}`, upstream_ca_file: caPath },
  }
  const leaf = await front.issue(Object.keys(sites))
  const port = await freePort()
  const proxy = await startProxy(
    t,
    {
      workers: 2,
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: port,
          http_port: 0,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: Object.entries(sites).map(([host, site]) => ({ host, upstream_scheme: 'https', ...site })),
        },
      ],
    },
    // What OpenSSL takes for the roots of the system.
    { env: { ...process.env, SSL_CERT_FILE: system.certPath, SSL_CERT_DIR: '/nonexistent' } },
  )
  const target = (host: string) => ({ host, port, ca: front.certPem })
  const statusesOf = async (host: string): Promise<number[]> => [
    (await request(target(host))).status,
    (await request2(target(host))).status,
  ]

  for (const [host, status] of [
    ['named.test', 200],
    ['untrusted.test', 502],
    ['misnamed.test', 502],
    ['addressed.test', 200],
    ['unaddressed.test', 502],
    ['system.test', 200],
    ['both.test', 200],
  ] as const) {
    assert.deepEqual(await statusesOf(host), [status, status], host)
  }
  assert.ok(named.serverNames.has('localhost'))
  assert.ok(addressed.serverNames.has(false))
  for (const [host, error] of [
    ['untrusted.test', '[A-Z_]+'],
    ['misnamed.test', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['unaddressed.test', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ]) {
    await proxy.stdout.waitForLine(
      new RegExp(` WARN UPSTREAM_ERROR host=${host} upstream=\\S+ error="tls: ${error}"$`, 'u'),
    )
  }

  const openWebSocket = (host: string): WebSocket => {
    const options = { headers: { Host: host }, servername: host, ca: front.certPem }
    const client = new WebSocket(`wss://127.0.0.1:${port}/`, options)
    t.after(() => client.terminate())
    client.on('error', () => {})
    return client
  }
  const client = openWebSocket('named.test')
  await once(client, 'open')
  client.send('over tls')
  const [echo]: Buffer[] = await once(client, 'message')
  assert.equal(echo?.toString(), 'over tls')
  const [, answer] = await once(openWebSocket('misnamed.test'), 'unexpected-response')
  assert.equal(answer.statusCode, 502)

  // The upstream moves to another CA; its file follows, and a reload is all it takes.
  named.show(await next.issue(['localhost']))
  assert.deepEqual(await statusesOf('named.test'), [502, 502])
  copyFileSync(next.certPath, caPath)
  const workers = proxy.workerPids()
  assert.equal((await askAdmin(join(proxy.directory, 'admin.sock'), 'reload')).status, 'ok')
  for (let i = 0; i < 4; i++) assert.deepEqual(await statusesOf('named.test'), [200, 200])
  assert.deepEqual(await statusesOf('addressed.test'), [502, 502])
  assert.deepEqual(await statusesOf('both.test'), [200, 200])
  assert.deepEqual(proxy.workerPids(), workers)
})
