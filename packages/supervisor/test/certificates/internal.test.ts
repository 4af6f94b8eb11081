// The local CA: made once, shared by whoever shares the directory, its leaves renewed in time.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import tls from 'node:tls'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { internalCaPath } from '../../src/certificates/internal/ca.ts'
import { InternalManager } from '../../src/certificates/internal/manager.ts'
import { FakeHost } from '../../../../test/harness/certificates/fake-host.ts'

const DAY_MS = 86_400_000
const TEST = { timeout: 30_000 }

function manage(
  t: TestContext,
  host: FakeHost,
  stateDir: string,
  { id = '127.0.0.1:8443', hosts = ['localhost'] }: { id?: string; hosts?: string[] } = {},
): InternalManager {
  const manager = new InternalManager(id, hosts, stateDir, host)
  t.after(async () => await manager.close())
  return manager
}

const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

async function load(...parameters: Parameters<typeof manage>): Promise<InternalManager> {
  const manager = manage(...parameters)
  await manager.load()
  return manager
}

test('a client that trusts the exported root accepts the leaf for every site host', TEST, async (t) => {
  const host = new FakeHost()
  const stateDir = join(temporaryDirectory(t), 'state')
  const manager = await load(t, host, stateDir, { hosts: ['localhost', '*.dev.example'] })
  assert.equal(manager.needsOrder(), false)
  const [certificate] = manager.current()
  assert.ok(certificate)
  assert.deepEqual(certificate.names, ['localhost', '*.dev.example'])

  const server = tls.createServer({ cert: certificate.certPem, key: certificate.keyPem })
  server.on('secureConnection', (socket) => socket.end())
  const port = await listen(t, server)
  const ca = await readFile(internalCaPath(stateDir))
  for (const servername of ['localhost', 'any.dev.example']) {
    const client: tls.TLSSocket = tls.connect({ port, host: '127.0.0.1', servername, ca })
    await once(client, 'secureConnect')
    assert.equal(client.authorized, true)
    client.end()
  }

  const root = new X509Certificate(ca)
  assert.ok(root.validToDate.getTime() - Date.now() > 3649 * DAY_MS)
  const leaf = new X509Certificate(certificate.certPem)
  assert.equal(Math.round((leaf.validToDate.getTime() - Date.now()) / DAY_MS), 7)
  assert.equal(await mode(stateDir), 0o700)
  assert.equal(await mode(join(stateDir, 'internal-ca')), 0o700)
  assert.equal(await mode(join(stateDir, 'internal-ca', 'root', 'current', 'key.pem')), 0o600)
})

test(
  'a restart finds the same root and leaf; other sites get a new leaf from the same root',
  TEST,
  async (t) => {
    const host = new FakeHost()
    const stateDir = temporaryDirectory(t)
    const first = await load(t, host, stateDir)
    const root = await readFile(internalCaPath(stateDir), 'utf8')
    const again = await load(t, host, stateDir)
    assert.deepEqual(again.current(), first.current())
    const more = await load(t, host, stateDir, { hosts: ['localhost', 'b.example'] })
    assert.notEqual(more.current()[0]?.serial, first.current()[0]?.serial)
    const fewer = await load(t, host, stateDir)
    assert.deepEqual(fewer.current()[0]?.names, ['localhost'])
    assert.equal(await readFile(internalCaPath(stateDir), 'utf8'), root)
  },
)

test(
  'eight starts at once on an empty directory agree on one root, and one leaf a listener',
  TEST,
  async (t) => {
    const host = new FakeHost()
    const stateDir = temporaryDirectory(t)
    const ids = ['127.0.0.1:1', '127.0.0.1:2']
    const managers = Array.from({ length: 8 }, (_, index) => {
      const id = ids[index % 2]
      return manage(t, host, stateDir, id === undefined ? {} : { id })
    })
    await Promise.all(managers.map(async (manager) => await manager.load()))
    const serials = new Set(managers.map((manager) => manager.current()[0]?.serial))
    assert.equal(serials.size, 2)
    const root = new X509Certificate(await readFile(internalCaPath(stateDir)))
    for (const manager of managers) {
      assert.ok(new X509Certificate(manager.current()[0]?.certPem ?? '').verify(root.publicKey))
    }
  },
)

test('the leaf is renewed in the background long before it expires, and published', TEST, async (t) => {
  const host = new FakeHost()
  const manager = await load(t, host, temporaryDirectory(t))
  const [old] = manager.current()
  host.clockOffsetMs = 4 * DAY_MS
  manager.start()
  await waitFor('a new leaf is published', () => host.published.length === 1)
  assert.notEqual(host.published[0]?.[0]?.serial, old?.serial)
  assert.deepEqual(host.published[0], manager.current())
})

test('a damaged root is put aside and replaced, with leaves of its own', TEST, async (t) => {
  const host = new FakeHost()
  const stateDir = temporaryDirectory(t)
  await load(t, host, stateDir)
  await writeFile(join(stateDir, 'internal-ca', 'root', 'current', 'key.pem'), 'damaged')
  const manager = await load(t, host, stateDir)
  assert.ok(host.events().includes('error CERT_QUARANTINED'))
  const root = new X509Certificate(await readFile(internalCaPath(stateDir)))
  assert.ok(new X509Certificate(manager.current()[0]?.certPem ?? '').verify(root.publicKey))
})

test(
  'ten thousand sites: several leaves, each name on exactly one, found again and renewed together',
  TEST,
  async (t) => {
    const host = new FakeHost()
    const stateDir = join(temporaryDirectory(t), 'state')
    const hosts = Array.from({ length: 10_000 }, (_, index) => `site-${index}.with-a-long-name.dev.example`)
    const manager = await load(t, host, stateDir, { hosts })
    const served = manager.current()
    assert.deepEqual(
      served.flatMap(({ names }) => names),
      hosts,
    )
    for (const { names, certPem } of served) {
      assert.ok(names.length <= 100)
      assert.ok(new X509Certificate(certPem).checkHost(names.at(-1) ?? '') !== undefined)
    }
    assert.deepEqual(manager.status().missing, [])

    const again = await load(t, host, stateDir, { hosts })
    assert.deepEqual(again.current(), served, 'a restart issues nothing')
    const fewer = await load(t, host, stateDir, { hosts: hosts.slice(0, 150) })
    assert.equal(fewer.current()[0]?.serial, served[0]?.serial, 'what has not changed stays')

    fewer.start()
    await fewer.renew()
    const [published = []] = host.published.slice(-1)
    assert.deepEqual(
      published.map(({ names }) => names.length),
      [100, 50],
    )
    assert.ok(published.every(({ serial }) => !served.some((one) => one.serial === serial)))
  },
)

test(
  'a leaf that cannot be kept: its listener alone serves nothing, and is tried again later',
  TEST,
  async (t) => {
    const host = new FakeHost()
    const stateDir = temporaryDirectory(t)
    await load(t, host, stateDir, { id: '127.0.0.1:1' })
    const leaves = join(stateDir, 'internal-ca', 'leaves')
    const saved = join(stateDir, 'saved')
    await rename(leaves, saved)
    await writeFile(leaves, '')
    const manager = manage(t, host, stateDir, { id: '127.0.0.1:2' })
    await assert.rejects(manager.load(), { code: 'CACHE' })
    assert.equal(manager.needsOrder(), true)
    assert.ok(manager.obstacle() instanceof Error)
    manager.start()
    assert.equal(host.events().at(-1), 'error CERT_FAILED')
    assert.deepEqual(manager.status().missing, ['localhost'])
    await rm(leaves)
    await rename(saved, leaves)
    host.clockOffsetMs += 2 * 60_000
    await waitFor('the leaf', () => host.published.length === 1, 20_000)
    await waitFor('the failure to be forgotten', () => !manager.needsOrder())
    assert.equal(manager.status().failure, undefined)
  },
)
