// Each listener is ready, or fails, for itself: one whose CA hangs or refuses keeps no other from being served.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import type { AcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { hang, rateLimited } from '../../harness/acme/answers.ts'
import { askAdmin, runCommand } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { Proxy, startProxy } from '../../harness/proxy.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { request } from '../../harness/clients/request.ts'
import { IS_FULL } from '../../harness/size.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }
const WAIT_MS = 30_000
const A = { host: 'a.example', address: '127.0.0.1' } as const
const B = { host: 'b.example', address: '127.0.0.2' } as const
const REFUSED = { result: 'failed', code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' }

/** A has its certificate from files, B wants one of a CA whose faults a test injects. */
class Scene {
  readonly directory: string
  readonly ca: AcmeFaultProxy
  readonly port: number
  readonly httpPort: number
  readonly healthPort: number
  readonly config: FileConfig
  /** B alone. */
  readonly configOfB: FileConfig
  /** PEM that A's clients trust, and B's. */
  readonly trusted: { readonly a: string; readonly b: string }

  private constructor(fields: Omit<Scene, 'isServed' | 'refused' | 'admin' | 'readiness'>) {
    this.directory = fields.directory
    this.ca = fields.ca
    this.port = fields.port
    this.httpPort = fields.httpPort
    this.healthPort = fields.healthPort
    this.config = fields.config
    this.configOfB = fields.configOfB
    this.trusted = fields.trusted
  }

  static async create(t: TestContext): Promise<Scene> {
    const pebble = await startPebble(t)
    await pebble.setAddresses(B.host, [B.address])
    const ca = await startAcmeFaultProxy(t, pebble)
    const testCa = await TestCa.create(t)
    const pair = await testCa.issue([A.host])
    const { upstream } = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const port = pebble.tlsPort
    const healthPort = await freePort()
    const directory = temporaryDirectory(t)
    const a = {
      bind_addr: A.address,
      https_port: port,
      http_port: 0,
      tls: { mode: 'manual', cert_path: pair.certPath, key_path: pair.keyPath },
      sites: [{ host: A.host, upstream }],
    }
    const httpPort = pebble.httpPort
    const cacheDir = join(directory, 'cache')
    const b = acmeListener({
      ca,
      names: [B.host],
      cacheDir,
      httpsPort: port,
      httpPort,
      bindAddr: B.address,
      upstream,
    })
    const shared = { health_check_port: healthPort, logging: { level: 'debug' } }
    return new Scene({
      directory,
      ca,
      port,
      httpPort,
      healthPort,
      config: { ...shared, listeners: [a, b] },
      configOfB: { ...shared, listeners: [b] },
      trusted: { a: testCa.certPem, b: await pebble.rootPem() },
    })
  }

  async isServed({ host, address }: typeof A | typeof B): Promise<boolean> {
    const ca = host === A.host ? this.trusted.a : this.trusted.b
    const { status, body } = await request({ host, address, port: this.port, ca })
    return status === 200 && body === 'served'
  }

  /** How B, without a certificate, treats its clients. */
  async refused(): Promise<readonly unknown[]> {
    const { host, address } = B
    const tls = await handshake({ port: this.port, host: address, serverName: host })
    const { status } = await fetch(`http://${address}:${this.httpPort}/`, { redirect: 'manual' })
    return [tls, status]
  }

  // oxlint-disable-next-line typescript/no-explicit-any -- each test knows what it asked for
  async admin(command: string): Promise<any> {
    return await askAdmin(join(this.directory, 'admin.sock'), command)
  }

  /** The status of /health/ready, which says that so many certificates are pending. */
  async readiness(pending: number): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/health/ready`)
    const report: unknown = await response.json()
    assert.partialDeepStrictEqual(report, { certificates: { pending } })
    return response.status
  }
}

test(
  'a CA that hangs: the other listener is served meanwhile, through reloads, rolls and crashes; then both are, without a restart',
  TEST,
  async (t) => {
    const scene = await Scene.create(t)
    const { ca, directory, config } = scene
    ca.inject({ on: 'newOrder', answer: hang() })
    const proxy = new Proxy(t, config, { directory })
    await waitFor('the order of B', () => ca.requestsOf('newOrder').length === 1, WAIT_MS)
    assert.ok(await scene.isServed(A))
    assert.deepEqual(await scene.refused(), [REFUSED, 503])
    const { phase, ready, certificates } = await scene.admin('status')
    assert.deepEqual([phase, ready, certificates.pending], ['serving', false, 1])
    assert.equal(await scene.readiness(1), 503)
    assert.equal((await fetch(`http://127.0.0.1:${scene.healthPort}/health`)).status, 200)

    assert.equal((await scene.admin('reload')).status, 'ok')
    proxy.signal('SIGHUP')
    await proxy.stdout.waitForLine(/ CONFIG_RELOAD status=success kind=reload-and-restart /u, WAIT_MS)
    const [pid] = proxy.workerPids()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    await waitFor(
      'the successor of the worker',
      async () => {
        const { workers } = await scene.admin('status')
        return workers.ready === 2 && proxy.workerPids().every((other) => other !== pid)
      },
      WAIT_MS,
    )
    for (let times = 0; times < 4; times++) {
      assert.ok(await scene.isServed(A))
      assert.deepEqual(await scene.refused(), [REFUSED, 503])
    }
    assert.equal(ca.requestsOf('newOrder').length, 1, 'nothing of that has ordered again')
    assert.doesNotMatch(proxy.stdout.text, / INFO READY /u, 'the first attempt has not ended')

    ca.removeFaults()
    await ca.down()
    await ca.up()
    await proxy.ready(WAIT_MS)
    const { status } = await scene.admin(`renew ${B.host}`)
    assert.equal(status, 'ok')
    assert.ok(await scene.isServed(B))
    assert.ok(await scene.isServed(A))
    assert.equal(await scene.readiness(0), 200)
  },
)

test(
  'a CA that refuses: the first start and the next serve the other listener, and say what is missing',
  TEST,
  async (t) => {
    const scene = await Scene.create(t)
    const { ca, directory, config } = scene
    ca.inject({ on: 'newOrder', answer: rateLimited('3600') })
    const first = await startProxy(t, config, { directory })
    assert.ok(await scene.isServed(A))
    assert.deepEqual(await scene.refused(), [REFUSED, 503])
    assert.match(first.stdout.text, /ERROR CERT_FAILED listener=127\.0\.0\.2:/u)
    assert.match(first.stdout.text, / INFO READY .*listeners_waiting=1/u)
    const certs = await runCommand(first, 'certs')
    assert.match(certs.stdout, /127\.0\.0\.2:\d+ +acme +pending /u)
    assert.match(certs.stdout, /127\.0\.0\.2:\d+: failed .* next attempt in /u)
    assert.match((await runCommand(first, 'status')).stdout, /1 PENDING/u)
    assert.deepEqual(await first.stop(), { code: 0, signal: null })

    const orders = ca.requestsOf('newOrder').length
    const second = await startProxy(t, config, { directory })
    assert.ok(await scene.isServed(A))
    assert.deepEqual(await scene.refused(), [REFUSED, 503])
    assert.match(
      second.stdout.text,
      /ERROR CERT_FAILED listener=127\.0\.0\.2:\d+ error="no certificate yet: /u,
    )
    assert.equal(ca.requestsOf('newOrder').length, orders, 'inside the waiting time nothing is ordered')
    assert.deepEqual(await second.stop(), { code: 0, signal: null })
  },
)

test(
  'nothing to serve inside the waiting time: the start says so before it forks or binds',
  TEST,
  async (t) => {
    const { ca, directory, configOfB, port } = await Scene.create(t)
    ca.inject({ on: 'newOrder', answer: rateLimited('3600') })
    const first = new Proxy(t, configOfB, { directory })
    assert.deepEqual(await first.exited, { code: 1, signal: null })
    assert.match(first.stdout.text, / WORKER_READY /u)
    // Whoever bound the port now would fail for that reason.
    const holder = net.createServer().listen(port, B.address)
    await once(holder, 'listening')
    t.after(() => holder.close())
    const second = new Proxy(t, configOfB, { directory })
    assert.deepEqual(await second.exited, { code: 1, signal: null })
    assert.match(
      second.stderr.text,
      /^error: no certificate yet: the last attempt failed, and the next is due at /mu,
    )
    assert.equal(second.stderr.text.match(/^error:/gmu)?.length, 1)
    assert.doesNotMatch(second.stdout.text, / WORKER_/u)
  },
)

test(
  'a cache that cannot be read: the other listener is served, and this one as soon as it can be read',
  TEST,
  async (t) => {
    const scene = await Scene.create(t)
    const { directory, config } = scene
    const inTheWay = join(directory, 'cache')
    writeFileSync(inTheWay, '')
    const proxy = await startProxy(t, config, { directory })
    assert.ok(await scene.isServed(A))
    assert.deepEqual(await scene.refused(), [REFUSED, 503])
    await proxy.stdout.waitForLine(/ERROR CERT_FAILED listener=127\.0\.0\.2:.* next_attempt=/u, WAIT_MS)
    rmSync(inTheWay)
    const { status } = await scene.admin(`renew ${B.host}`)
    assert.equal(status, 'ok')
    assert.ok(await scene.isServed(B))
  },
)

test('a shutdown while one listener orders ends at once, and leaves no lock', TEST, async (t) => {
  const scene = await Scene.create(t)
  const { ca, directory, config } = scene
  ca.inject({ on: 'newOrder', answer: hang() })
  const proxy = new Proxy(t, config, { directory })
  await waitFor('the order of B', () => ca.requestsOf('newOrder').length === 1, WAIT_MS)
  assert.ok(await scene.isServed(A))
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  assert.equal(existsSync(join(directory, 'cache', 'lock')), false)
  await proxy.assertNoProcessLeft()
})

test('many listeners at one busy CA: all serve', TEST, async (t) => {
  const count = IS_FULL ? 50 : 6
  const pebble = await startPebble(t, { nonceRejectPercent: 5 })
  const { upstream } = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const sites = Array.from({ length: count }, (_, index) => ({
    host: `s${index}.example`,
    address: `127.0.1.${index + 1}`,
  }))
  for (const { host, address } of sites) await pebble.setAddresses(host, [address])
  const listeners = sites.map(({ host, address }) =>
    acmeListener({
      ca: pebble,
      names: [host],
      cacheDir: host,
      httpsPort: pebble.tlsPort,
      bindAddr: address,
      upstream,
      contact: 'mailto:ops@example.org',
    }),
  )
  const proxy = new Proxy(t, { listeners })
  await proxy.ready(100_000)
  const ca = await pebble.rootPem()
  for (const { host, address } of sites) {
    const { body } = await request({ host, address, port: pebble.tlsPort, ca })
    assert.equal(body, 'served')
  }
})
