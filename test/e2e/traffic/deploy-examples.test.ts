// The examples in deploy/config about where clients come from, as they are but for addresses, ports and certificates: all
// of them in one start, a listener each.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import tls from 'node:tls'
import { parse } from 'smol-toml'
import { request, request2 } from '../../harness/clients/request.ts'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy, type FileConfig } from '../../harness/proxy.ts'
import { TestCa } from '../../harness/tls-material.ts'

const EXAMPLES = join(import.meta.dirname, '../../../deploy/config')
/** An address of this machine that stands for the network that an example trusts or allows. */
const NEAR = '127.0.0.2'
const CLIENT = '203.0.113.99'

/** The listener of an example, with `texts` replaced in it and `keys` set. */
function listenerOf(name: string, texts: Readonly<Record<string, string>>, keys: FileConfig): FileConfig {
  let text = readFileSync(join(EXAMPLES, name), 'utf8')
  for (const [written, other] of Object.entries(texts)) {
    assert.ok(text.includes(written), `${written} in ${name}`)
    text = text.replaceAll(written, other)
  }
  const { listeners } = parse(text)
  assert.ok(Array.isArray(listeners) && listeners.length === 1)
  const [listener] = listeners
  assert.ok(typeof listener === 'object')
  return { ...Object.fromEntries(Object.entries(listener)), bind_addr: '127.0.0.1', ...keys }
}

async function answerOf(
  sent: http.ClientRequest,
): Promise<{ status: number; headers: http.IncomingHttpHeaders }> {
  sent.end()
  const [response]: http.IncomingMessage[] = await once(sent, 'response')
  assert.ok(response !== undefined)
  await buffer(response)
  return { status: response.statusCode ?? 0, headers: response.headers }
}

test(
  'examples: a tunnel, Cloudflare, a TCP load balancer and an office network',
  { timeout: 120_000 },
  async (t) => {
    const origin = await HttpOrigin.start(t, (_, response) => response.end('served'))
    const ca = await TestCa.create(t)
    const upstream = { '127.0.0.1:3000': origin.upstream }
    const ports = {
      tunnel: await freePort(),
      cloudflare: await freePort(),
      balancer: await freePort(),
      office: await freePort(),
    }
    const manual = async (...names: string[]) => {
      const { certPath, keyPath } = await ca.issue(names)
      return { mode: 'manual', cert_path: certPath, key_path: keyPath }
    }
    // A host name belongs to one listener.
    const tunnel = listenerOf(
      'behind-tunnel.toml',
      { ...upstream, 'example.com': 'tunnel.test' },
      { http_port: ports.tunnel },
    )
    const cloudflare = listenerOf(
      'behind-cloudflare.toml',
      { ...upstream, '104.16.0.0/13': NEAR, 'example.com': 'cloudflare.test' },
      {
        https_port: ports.cloudflare,
        http_port: 0,
        tls: await manual('cloudflare.test', 'www.cloudflare.test'),
      },
    )
    const balancer = listenerOf(
      'behind-load-balancer.toml',
      { ...upstream, '10.0.0.10': '127.0.0.1', 'example.com': 'balancer.test' },
      { https_port: ports.balancer, http_port: 0, tls: await manual('balancer.test') },
    )
    const office = listenerOf(
      'office-network.toml',
      {
        ...upstream,
        '127.0.0.1:4000': origin.upstream,
        '198.51.100.0/24': NEAR,
        'example.com': 'office.test',
      },
      { https_port: ports.office, http_port: 0, tls: await manual('office.test', 'intranet.office.test') },
    )
    await startProxy(t, { workers: 1, listeners: [tunnel, cloudflare, balancer, office] })
    const clientSeen = () =>
      valuesOf(origin.requests.at(-1) ?? { method: '', target: '', rawHeaders: [] }, 'x-real-ip')

    const viaTunnel = { 'CF-Connecting-IP': CLIENT, 'X-Forwarded-Proto': 'https', Host: 'tunnel.test' }
    const plain = { host: '127.0.0.1', port: ports.tunnel, agent: false }
    const tunnelled = await answerOf(http.request({ ...plain, headers: viaTunnel }))
    assert.equal(tunnelled.status, 200)
    assert.equal(tunnelled.headers['strict-transport-security'], 'max-age=31536000')
    assert.deepEqual(clientSeen(), [CLIENT])
    const local = await answerOf(http.request({ ...plain, headers: viaTunnel, localAddress: NEAR }))
    assert.deepEqual([local.status, local.headers['strict-transport-security']], [200, undefined])
    assert.deepEqual(clientSeen(), [NEAR], 'only the address of the tunnel is believed')

    for (const ask of [request, request2]) {
      const host = 'www.cloudflare.test'
      const options = {
        host,
        port: ports.cloudflare,
        ca: ca.certPem,
        headers: { 'CF-Connecting-IP': CLIENT },
      }
      assert.equal((await ask({ ...options, from: NEAR })).status, 200)
      assert.deepEqual(clientSeen(), [CLIENT])
      assert.equal((await ask(options)).status, 200)
      assert.deepEqual(clientSeen(), ['127.0.0.1'], 'a client that is no proxy names nobody')

      const statusOf = async (path: string, from: string, name = 'office.test') =>
        (await ask({ host: name, port: ports.office, ca: ca.certPem, path, from })).status
      for (const path of ['/admin', '/admin/', '/admin/x', '/%61dmin/x', '/x/../admin/x']) {
        assert.equal(await statusOf(path, NEAR), 200, path)
        assert.equal(await statusOf(path, '127.0.0.1'), 403, path)
      }
      assert.equal(await statusOf('/administration', '127.0.0.1'), 200)
      assert.equal(await statusOf('/', NEAR, 'intranet.office.test'), 200)
      assert.equal(await statusOf('/', '127.0.0.1', 'intranet.office.test'), 403)
    }

    const socket = net.connect({ host: '127.0.0.1', port: ports.balancer })
    socket.write(`PROXY TCP4 ${CLIENT} 127.0.0.1 50000 443\r\n`)
    const secure = tls.connect({ socket, servername: 'balancer.test', ca: ca.certPem })
    const headers = { Host: 'balancer.test' }
    const balanced = await answerOf(https.request({ headers, createConnection: () => secure }))
    assert.equal(balanced.status, 200)
    assert.deepEqual(clientSeen(), [CLIENT])
    await assert.rejects(request({ host: 'balancer.test', port: ports.balancer, ca: ca.certPem }))
  },
)
