// The example deploy/config/company-site.toml as it is, but for addresses, ports and certificate: what clients see, what
// the upstreams get, and that a reload changes routes in place.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'smol-toml'
import { askAdmin } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy, writeConfig, type FileConfig } from '../../harness/proxy.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { TestCa } from '../../harness/tls-material.ts'

const EXAMPLE = join(import.meta.dirname, '../../../deploy/config/company-site.toml')
const HSTS = 'max-age=31536000'

/** The tables of the example that say what is served. */
function exampleOf(ports: Readonly<Record<string, number>>): { defaults: FileConfig; sites: string } {
  let text = readFileSync(EXAMPLE, 'utf8')
  for (const [written, port] of Object.entries(ports)) text = text.replaceAll(written, `127.0.0.1:${port}`)
  const { defaults, listeners } = parse(text)
  assert.ok(typeof defaults === 'object' && Array.isArray(listeners))
  const [listener] = listeners
  assert.ok(typeof listener === 'object' && 'sites' in listener)
  return { defaults: Object.fromEntries(Object.entries(defaults)), sites: JSON.stringify(listener['sites']) }
}

test(
  'the company site: routes, redirects and header fields, and a reload of them',
  { timeout: 120_000 },
  async (t) => {
    const main = await HttpOrigin.start(t, (_, response) =>
      response.setHeader('X-Powered-By', 'x').end('main'),
    )
    const api = await HttpOrigin.start(t, (_, response) => response.end('api'))
    const ca = await TestCa.create(t)
    const leaf = await ca.issue(['example.com', 'www.example.com', 'example.org'])
    const [httpsPort, httpPort] = [await freePort(), await freePort()]
    const { defaults, sites } = exampleOf({ '127.0.0.1:3000': main.port, '127.0.0.1:4000': api.port })
    const configOf = (written: string): FileConfig => ({
      defaults,
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: httpsPort,
          http_port: httpPort,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: JSON.parse(written),
        },
      ],
    })
    const proxy = await startProxy(t, configOf(sites))

    for (const ask of [request, request2]) {
      const get = async (path: string, host = 'example.com') =>
        await ask({ host, port: httpsPort, ca: ca.certPem, path })
      const home = await get('/')
      assert.deepEqual([home.status, home.body], [200, 'main'])
      assert.equal(home.headers['strict-transport-security'], HSTS)
      assert.equal(home.headers['x-powered-by'], undefined)
      assert.equal((await get('/api/x%20y?z')).body, 'api')
      assert.equal(api.requests.at(-1)?.target, '/x%20y?z')
      assert.match(String(api.requests.at(-1)?.rawHeaders), /X-Request-Id,[0-9a-f-]{36}/u)
      const asset = await get('/assets/a.css')
      assert.match(asset.headers['cache-control'] ?? '', /immutable/u)
      assert.equal(asset.headers['strict-transport-security'], HSTS)
      assert.match((await get('/.well-known/security.txt')).body, /^Contact: /u)
      for (const [path, host, location] of [
        ['/blog/one?a=b', 'example.com', '/news/one?a=b'],
        ['/x?y', 'www.example.com', 'https://example.com/x?y'],
        ['/', 'example.org', 'https://example.com/'],
      ] as const) {
        const moved = await get(path, host)
        assert.deepEqual([moved.status, moved.headers.location], [308, location])
        assert.equal(moved.headers['strict-transport-security'], HSTS)
      }
      assert.equal((await get('/x/..%2fapi/y')).status, 400)
    }

    const pids = proxy.workerPids()
    writeConfig(proxy.directory, configOf(sites.replace('"/blog/"', '"/diary/"')))
    const result = await askAdmin(join(proxy.directory, 'admin.sock'), 'reload')
    assert.deepEqual([result.status, result.workers], ['ok', 'kept'])
    const options = { host: 'example.com', port: httpsPort, ca: ca.certPem }
    assert.equal((await request({ ...options, path: '/diary/x' })).headers.location, '/news/x')
    assert.equal((await request({ ...options, path: '/blog/x' })).body, 'main')
    assert.deepEqual(proxy.workerPids(), pids, 'in place')
  },
)
