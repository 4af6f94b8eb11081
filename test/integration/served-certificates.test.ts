// What is served stays served: no order, reload or restart takes from a name a certificate that is good.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { temporaryDirectory } from '../harness/directory.ts'
import { startPebble } from '../harness/acme/pebble.ts'
import { waitFor } from '../harness/wait.ts'
import { AcmeManager } from '../../packages/supervisor/src/certificates/acme/manager.ts'
import { answerTlsAlpn, FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'

const TEST = { timeout: 120_000 }
const NEVER = new AbortController().signal

async function loaded(t: TestContext, settings: AcmeSettings, host: FakeHost): Promise<AcmeManager> {
  const manager = new AcmeManager('listener', settings, host)
  t.after(async () => await manager.close())
  await manager.load()
  return manager
}

/** Serial numbers by name; each name is served by one certificate. */
function serialsOf(certificates: readonly PushedCertificate[]): Record<string, string> {
  const pairs = certificates.flatMap(({ names, serial }) => names.map((name) => [name, serial] as const))
  assert.equal(new Set(pairs.map(([name]) => name)).size, pairs.length)
  return Object.fromEntries(pairs)
}

test(
  'a name that cannot be validated keeps its certificate when another is issued without it: at once, and after restarts and renewals',
  TEST,
  async (t) => {
    const pebble = await startPebble(t)
    const host = new FakeHost()
    await answerTlsAlpn(t, host, pebble.tlsPort)
    const before = settingsFor(pebble, temporaryDirectory(t))
    const after = { ...before, domains: ['one.example', 'two.example', 'three.example'] }
    const [first] = await loaded(t, before, host).then(async (manager) => {
      await manager.acquire(NEVER)
      return manager.current()
    })
    assert.ok(first)

    await pebble.setAddresses('two.example', [])
    const manager = await loaded(t, after, host)
    manager.start()
    await waitFor('what was issued without the name', () => host.published.length === 2, 30_000)
    const served = serialsOf(host.published[1] ?? [])
    assert.deepEqual(Object.keys(served).toSorted(), after.domains.toSorted())
    const issued = (host.published[1] ?? []).map(({ certPem }) => new X509Certificate(certPem).subjectAltName)
    const whatCaDid = `for ${issued.join(' and ')}\n${pebble.output.text}`
    assert.equal(served['two.example'], first.serial, whatCaDid)
    assert.notEqual(served['one.example'], first.serial, 'the rest is on the new one')
    assert.deepEqual(manager.status().missing, [])
    await manager.close()

    assert.deepEqual(serialsOf((await loaded(t, after, host)).current()), served, 'a restart')
    const withoutThree = (await loaded(t, before, host)).current()
    assert.equal(serialsOf(withoutThree)['two.example'], first.serial, 'the new name taken out again')

    // Three generations on, the first is still the only one that has the name.
    host.clockOffsetMs = 2 * 86_400_000
    const renewing = await loaded(t, { ...before, domains: ['one.example'] }, host)
    renewing.start()
    for (let times = 1; times <= 2; times++) await renewing.renew()
    await renewing.close()
    assert.equal(serialsOf((await loaded(t, before, host)).current())['two.example'], first.serial)
  },
)

test('a certificate with fewer names in a shared cache takes nothing from who has more', TEST, async (t) => {
  const pebble = await startPebble(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const manager = await loaded(t, settings, host)
  await manager.acquire(NEVER)
  const fewer = await loaded(t, { ...settings, domains: ['one.example'] }, host)
  fewer.start()
  await fewer.renew()
  await fewer.close()

  manager.start()
  await manager.renew()
  await manager.close()
  const all = host.published.map((certificates) => Object.keys(serialsOf(certificates)).length)
  assert.deepEqual(all, [2, 1, 2])
  assert.equal(host.published.at(-1)?.length, 1, 'ordered anew with both names')
})

test(
  'a reload to a cache without what is served, or with what is older: that serves on, is shown, and is saved there',
  TEST,
  async (t) => {
    const pebble = await startPebble(t, { authorizationReusePercent: 100 })
    const host = new FakeHost()
    await answerTlsAlpn(t, host, pebble.tlsPort)
    const settings = settingsFor(pebble, temporaryDirectory(t))
    const first = await loaded(t, settings, host)
    await first.acquire(NEVER)
    const [older] = first.current()
    await first.close()
    const elsewhere = { ...settings, cacheDir: temporaryDirectory(t) }
    const newer = await loaded(t, elsewhere, host)
    await newer.acquire(NEVER)
    const [served] = newer.current()
    assert.notEqual(served?.serial, older?.serial)

    for (const cacheDir of [settings.cacheDir, temporaryDirectory(t)]) {
      const successor = new AcmeManager('listener', { ...settings, cacheDir }, host)
      t.after(async () => await successor.close())
      await successor.load(newer)
      assert.deepEqual(successor.current(), [served])
      assert.equal(successor.status().certificates[0]?.serial, served?.serial)
      successor.start()
      const isSaved = async (): Promise<boolean> => {
        const restarted = await loaded(t, { ...settings, cacheDir }, host)
        return restarted.current()[0]?.serial === served?.serial
      }
      await waitFor('it is saved', isSaved, 30_000)
    }
    assert.equal(pebble.requests('newOrder'), 2)
  },
)
