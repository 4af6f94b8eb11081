// Certificates from files: loaded, checked, watched, never changed.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { TestCa } from '../../../test/harness/tls-material.ts'
import { ManualManager } from '../src/certificates/manual-manager.ts'
import { FakeHost } from './certificate-host.ts'

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
  const host = new FakeHost(t)
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
  const host = new FakeHost(t)
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
  const host = new FakeHost(t)
  host.clockOffsetMs = 3 * DAY_MS
  const manager = manage(t, [await ca.issue(['a.example'])], host)
  await manager.load()
  manager.start()
  await manager.close()
  assert.equal(manager.current().length, 1)
  assert.deepEqual(host.events(), ['info CERT_LOADED', 'error CERT_EXPIRED'])
})
