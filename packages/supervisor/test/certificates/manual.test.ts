// Certificates from files: loaded, checked, watched, never changed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rename, rm, symlink } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { ManualManager } from '../../src/certificates/manual/manager.ts'
import { FakeHost } from '../../../../test/harness/certificates/fake-host.ts'

const DAY_MS = 86_400_000

function manage(
  t: TestContext,
  pairs: { certPath: string; keyPath: string }[],
  host: FakeHost,
): ManualManager {
  const manager = new ManualManager('127.0.0.1:443', { mode: 'manual', pairs }, host)
  t.after(async () => await manager.close())
  return manager
}

test('several pairs are served, each under the names of its own subjectAltName', async (t) => {
  const ca = await TestCa.create(t)
  const host = new FakeHost()
  const manager = manage(
    t,
    [await ca.issue(['A.example']), await ca.issue(['*.b.example', 'b.example'])],
    host,
  )
  await manager.load()
  assert.equal(manager.needsOrder(), false)
  assert.deepEqual(
    manager.current().map(({ names }) => names),
    [['a.example'], ['*.b.example', 'b.example']],
  )
  assert.deepEqual(host.events(), ['info CERT_LOADED', 'info CERT_LOADED'])
})

test('a pair that cannot be used fails with its paths and what to write instead', async (t) => {
  const ca = await TestCa.create(t)
  const host = new FakeHost()
  const [one, two] = [await ca.issue(['one.example']), await ca.issue(['two.example'])]
  const mixed = { certPath: one.certPath, keyPath: two.keyPath }
  await assert.rejects(manage(t, [one, mixed], host).load(), {
    code: 'CERTIFICATE',
    message: /leaf-1\.pem with .*leaf-2\.key: the key does not match/u,
    hint: /cert_path/u,
  })
  const absent = { certPath: '/nonexistent/cert.pem', keyPath: two.keyPath }
  await assert.rejects(manage(t, [absent], host).load(), {
    code: 'CERTIFICATE',
    message: /cert\.pem: ENOENT/u,
  })
})

test('an expired certificate is served, and the log says so once', async (t) => {
  const ca = await TestCa.create(t)
  const host = new FakeHost()
  host.clockOffsetMs = 3 * DAY_MS
  const manager = manage(t, [await ca.issue(['a.example'])], host)
  await manager.load()
  manager.start()
  await manager.close()
  assert.equal(manager.current().length, 1)
  assert.deepEqual(host.events(), ['info CERT_LOADED', 'error CERT_EXPIRED'])
})

test('a pair that is gone when it is loaded: the others are served, and it is tried again later', async (t) => {
  const ca = await TestCa.create(t)
  const host = new FakeHost()
  const [one, two] = [await ca.issue(['one.example']), await ca.issue(['two.example'])]
  const manager = manage(t, [one, two], host)
  const away = `${two.certPath}.away`
  await rename(two.certPath, away)
  await assert.rejects(manager.load(), { code: 'CERTIFICATE' })
  assert.deepEqual(
    manager.current().map(({ names }) => names),
    [['one.example']],
  )
  assert.deepEqual([manager.needsOrder(), manager.isComplete()], [false, false])
  manager.start()
  assert.match(manager.status().failure?.reason ?? '', /ENOENT/u)
  assert.ok((manager.status().nextAttemptMs ?? 0) > host.clock.nowMs())
  await rename(away, two.certPath)
  host.clockOffsetMs += 2 * 60_000
  await waitFor('both pairs', () => host.published.at(-1)?.length === 2, 20_000)
  await waitFor('the failure to be forgotten', () => manager.isComplete())
  assert.equal(manager.status().failure, undefined)
})

test('no pair can be loaded: nothing is served, the log says it as an error, and a demand helps', async (t) => {
  const ca = await TestCa.create(t)
  const host = new FakeHost()
  const pair = await ca.issue(['one.example'])
  const manager = manage(t, [pair], host)
  const away = `${pair.keyPath}.away`
  await rename(pair.keyPath, away)
  await assert.rejects(manager.load(), { code: 'CERTIFICATE' })
  assert.equal(manager.needsOrder(), true)
  assert.match(String(manager.obstacle()), /ENOENT/u)
  manager.start()
  assert.deepEqual(host.events(), ['error CERT_FAILED'])
  await assert.rejects(manager.renew(), { code: 'CERTIFICATE' })
  await rename(away, pair.keyPath)
  await manager.renew()
  assert.equal(manager.needsOrder(), false)
  assert.equal(host.published.length, 1)
})

test('a pipe, or a file without end, in place of one that was good: said at once, and the old one serves on', async (t) => {
  const ca = await TestCa.create(t)
  const host = new FakeHost()
  const pair = await ca.issue(['a.example'])
  const manager = manage(t, [pair], host)
  await manager.load()
  manager.start()
  await rm(pair.certPath)
  execFileSync('mkfifo', [pair.certPath])
  await assert.rejects(manager.renew(), { code: 'CERTIFICATE', message: /is not a regular file/u })
  await rm(pair.certPath)
  await symlink('/dev/zero', pair.certPath)
  await assert.rejects(manager.renew(), { code: 'CERTIFICATE', message: /is not a regular file/u })
  assert.equal(manager.current().length, 1)
})
