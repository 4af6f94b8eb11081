// The example deploy/config/login-page.toml as it is, but for addresses, ports and certificate, with a service that
// answers as Authelia documents it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'smol-toml'
import { runCommand } from '../../harness/admin.ts'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy, writeConfig, type FileConfig } from '../../harness/proxy.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { TestCa } from '../../harness/tls-material.ts'

const EXAMPLE = join(import.meta.dirname, '../../../deploy/config/login-page.toml')
const NAMES = ['auth.example.com', 'wiki.example.com', 'grafana.example.com']
const SESSION = { cookie: 'authelia_session=ann' }

test(
  'one login page for several subdomains, and a reload that takes it away',
  { timeout: 120_000 },
  async (t) => {
    const authelia = await HttpOrigin.start(t, (incoming, response) => {
      if (incoming.url !== '/api/authz/forward-auth') {
        response.end('login page')
      } else if (incoming.headers.cookie === SESSION.cookie) {
        response.setHeader('Remote-User', 'ann').setHeader('Remote-Groups', 'dev').end()
      } else {
        const {
          'x-forwarded-proto': proto,
          'x-forwarded-host': host,
          'x-forwarded-uri': uri,
        } = incoming.headers
        const wanted = encodeURIComponent(`${String(proto)}://${String(host)}${String(uri)}`)
        response
          .writeHead(302, { Location: `https://auth.example.com/?rd=${wanted}&rm=GET` })
          .end('302 Found')
      }
    })
    const wiki = await HttpOrigin.start(t, (_, response) => response.end('wiki'))
    const grafana = await HttpOrigin.start(t, (_, response) => response.end('grafana'))
    const ca = await TestCa.create(t)
    const leaf = await ca.issue(NAMES)
    const [httpsPort, httpPort] = [await freePort(), await freePort()]
    const configOf = (withAuth: boolean): FileConfig => {
      let text = readFileSync(EXAMPLE, 'utf8')
      const ports = {
        '127.0.0.1:9091': authelia.port,
        '127.0.0.1:3000': wiki.port,
        '127.0.0.1:3001': grafana.port,
      }
      for (const [written, port] of Object.entries(ports))
        text = text.replaceAll(written, `127.0.0.1:${port}`)
      const { defaults, listeners } = parse(text)
      assert.ok(typeof defaults === 'object' && Array.isArray(listeners))
      const [listener] = listeners
      assert.ok(typeof listener === 'object' && 'sites' in listener)
      return {
        ...(withAuth && { defaults: Object.fromEntries(Object.entries(defaults)) }),
        listeners: [
          {
            bind_addr: '127.0.0.1',
            https_port: httpsPort,
            http_port: httpPort,
            tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
            sites: withAuth ? listener['sites'] : [{ host: 'wiki.example.com', upstream: wiki.upstream }],
          },
        ],
      }
    }
    const proxy = await startProxy(t, configOf(true))

    for (const ask of [request, request2]) {
      const get = async (host: string, path: string, headers = {}) =>
        await ask({ host, port: httpsPort, ca: ca.certPem, path, headers })
      const stranger = await get('wiki.example.com', '/page?a=1', { 'remote-user': 'root' })
      assert.equal(stranger.status, 302)
      const { location = '' } = stranger.headers
      assert.equal(
        location,
        `https://auth.example.com/?rd=${encodeURIComponent(`https://wiki.example.com:${httpsPort}/page?a=1`)}&rm=GET`,
      )
      assert.equal((await get('auth.example.com', '/')).body, 'login page')
      assert.equal(
        (await get('wiki.example.com', '/page', { ...SESSION, 'remote-user': 'root' })).body,
        'wiki',
      )
      assert.equal((await get('grafana.example.com', '/api/health')).body, 'grafana')
      // An open route is no way into the rest of its site.
      assert.equal((await get('grafana.example.com', '/api/health/..%2fadmin')).status, 302)
      assert.equal((await get('grafana.example.com', '/api/%68ealth/../admin')).status, 302)
      assert.equal((await get('grafana.example.com', '/')).status, 302)
    }
    assert.equal(wiki.requests.length, 2)
    for (const one of wiki.requests) {
      assert.deepEqual([valuesOf(one, 'remote-user'), valuesOf(one, 'remote-groups')], [['ann'], ['dev']])
    }

    writeConfig(proxy.directory, configOf(false))
    assert.equal((await runCommand(proxy, 'reload')).code, 0)
    const open = { host: 'wiki.example.com', port: httpsPort, ca: ca.certPem, path: '/' }
    assert.equal((await request(open)).body, 'wiki')
    writeConfig(proxy.directory, configOf(true))
    assert.equal((await runCommand(proxy, 'reload')).code, 0)
    assert.equal((await request(open)).status, 302)
  },
)
