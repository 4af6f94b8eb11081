// With a real CA: a start orders what is missing, and only that.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { askAdmin } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import type { Pebble } from '../../harness/acme/pebble.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { Proxy, startProxy } from '../../harness/proxy.ts'
import { request, request2 } from '../../harness/clients/request.ts'

const HOSTS = ['one.example', 'two.example'] as const
const TEST = { timeout: 120_000 }

interface Scene {
  readonly pebble: Pebble
  readonly config: FileConfig
  readonly cacheDir: string
}

async function prepare(t: TestContext, challenge: 'tls-alpn-01' | 'http-01'): Promise<Scene> {
  const pebble = await startPebble(t)
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const cacheDir = join(temporaryDirectory(t), 'cache')
  const config = {
    listeners: [
      acmeListener({
        ca: pebble,
        names: HOSTS,
        cacheDir,
        httpsPort: pebble.tlsPort,
        httpPort: pebble.httpPort,
        challenge,
        upstream: origin.upstream,
      }),
    ],
  }
  return { pebble, config, cacheDir }
}

for (const challenge of ['tls-alpn-01', 'http-01'] as const) {
  test(
    `${challenge}: a first start obtains one certificate and serves every name with it`,
    TEST,
    async (t) => {
      const { pebble, config, cacheDir } = await prepare(t, challenge)
      const proxy = await startProxy(t, config)
      const ca = await pebble.rootPem()
      for (const host of HOSTS) {
        for (const send of [request, request2]) {
          const answer = await send({ host, port: pebble.tlsPort, ca })
          assert.deepEqual([answer.status, answer.body], [200, 'served'])
        }
      }
      assert.equal(pebble.requests('newOrder'), 1)
      assert.equal(existsSync(join(cacheDir, 'lock')), false)

      // The second start needs no CA.
      proxy.signal('SIGTERM')
      assert.deepEqual(await proxy.exited, { code: 0, signal: null })
      await pebble.kill()
      await startProxy(t, config)
      const answer = await request({ host: HOSTS[0], port: pebble.tlsPort, ca })
      assert.equal(answer.status, 200)
    },
  )
}

test('nothing cached and no CA: the start fails, says why, and leaves nothing behind', TEST, async (t) => {
  const { pebble, config, cacheDir } = await prepare(t, 'tls-alpn-01')
  await pebble.kill()
  const proxy = new Proxy(t, config)
  assert.deepEqual(await proxy.exited, { code: 1, signal: null })
  assert.match(proxy.stderr.text, /^error: cannot reach the ACME server .*ECONNREFUSED/mu)
  assert.equal(proxy.stderr.text.match(/^error:/gmu)?.length, 1)
  assert.equal(readdirSync(cacheDir).includes('lock'), false)
  await proxy.assertNoProcessLeft()
})

test(
  'a key that does not match its certificate is put aside, and a new certificate ordered',
  TEST,
  async (t) => {
    const { pebble, config, cacheDir } = await prepare(t, 'tls-alpn-01')
    const first = await startProxy(t, config)
    first.signal('SIGTERM')
    await first.exited
    const current = join(cacheDir, 'current')
    renameSync(join(current, 'cert.pem'), join(current, 'key.pem'))
    rmSync(join(cacheDir, 'accounts'), { recursive: true })

    const second = await startProxy(t, config)
    await second.stdout.waitForLine(/ERROR CERT_QUARANTINED /u)
    assert.equal(readdirSync(join(cacheDir, 'quarantine')).length, 1)
    assert.equal(pebble.requests('newOrder'), 2)
    const answer = await request({ host: HOSTS[1], port: pebble.tlsPort, ca: await pebble.rootPem() })
    assert.equal(answer.status, 200)
  },
)

test('Ctrl-C while the CA is asked ends the program at once, and leaves no lock', TEST, async (t) => {
  const { pebble, config, cacheDir } = await prepare(t, 'tls-alpn-01')
  // At the address Pebble is sent to, connections are accepted and nothing is ever said.
  const silent = net.createServer().listen(pebble.tlsPort, '127.0.0.2')
  await once(silent, 'listening')
  t.after(() => silent.close())
  for (const host of HOSTS) await pebble.setAddresses(host, ['127.0.0.2'])
  const proxy = new Proxy(t, config)
  await pebble.output.waitForLine(/POST \/chalZ\//u)

  // Meanwhile it can be asked how far it is, and refuses what only makes sense later.
  const socket = join(proxy.directory, 'admin.sock')
  const { phase, ready } = await askAdmin(socket, 'status')
  assert.deepEqual([phase, ready], ['ordering', false])
  const [{ state, missing, serial }] = (await askAdmin(socket, 'certs')).certificates
  assert.deepEqual([state, missing, serial], ['pending', [...HOSTS], null])
  for (const command of ['reload', 'restart', `renew ${HOSTS[0]}`]) {
    const { status, message } = await askAdmin(socket, command)
    assert.deepEqual([status, message], ['error', 'the proxy is ordering; try again when it serves'])
  }

  proxy.signal('SIGINT')
  assert.deepEqual(await proxy.exited, { code: 0, signal: null })
  assert.equal(existsSync(join(cacheDir, 'lock')), false)
  await proxy.assertNoProcessLeft()
})
