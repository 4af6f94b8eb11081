// The way from nothing to a certificate and to the next one, against a real ACME server.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { AcmeSettings, ChallengeType } from '@reverse-proxy/shared/config/config'
import { DAY_MS, HOUR_MS } from '@reverse-proxy/shared/time-units'
import { temporaryDirectory } from '../harness/directory.ts'
import { sharePebble, startPebble } from '../harness/acme/pebble.ts'
import { waitFor } from '../harness/wait.ts'
import { ACME_LIMITS } from '../../packages/supervisor/src/certificates/acme-client/transport/time-limits.ts'
import { AcmeManager } from '../../packages/supervisor/src/certificates/acme/manager.ts'
import type { HeldLock } from '../../packages/supervisor/src/certificates/storage/storage.ts'
import { lockDirectory } from '../../packages/supervisor/src/certificates/storage/lock.ts'
import { answerHttp, answerTlsAlpn, FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'

const LISTENER = '127.0.0.1:443'
const TEST = { timeout: 120_000 }
const visit = await sharePebble()

function manage(t: TestContext, settings: AcmeSettings, host: FakeHost): AcmeManager {
  const manager = new AcmeManager(LISTENER, settings, host)
  t.after(async () => await manager.close())
  return manager
}

const NEVER = new AbortController().signal

async function acquired(t: TestContext, settings: AcmeSettings, host: FakeHost): Promise<AcmeManager> {
  const manager = manage(t, settings, host)
  await manager.load()
  assert.equal(manager.needsOrder(), true)
  await manager.acquire(NEVER)
  return manager
}

for (const challenge of ['tls-alpn-01', 'http-01'] as const satisfies ChallengeType[]) {
  test(
    `${challenge}: one order proves both names at once, and a second start places none`,
    TEST,
    async (t) => {
      const pebble = await startPebble(t, { nonceRejectPercent: 15 })
      const cacheDir = join(temporaryDirectory(t), 'cache')
      const host = new FakeHost()
      if (challenge === 'http-01') await answerHttp(t, host, pebble.httpPort)
      else await answerTlsAlpn(t, host, pebble.tlsPort)
      const settings = settingsFor(pebble, cacheDir, { challenge })

      const manager = await acquired(t, settings, host)

      assert.equal(manager.needsOrder(), false)
      const [certificate] = manager.current()
      assert.ok(certificate)
      assert.deepEqual(certificate.names.toSorted(), ['one.example', 'two.example'])
      const [leafPem, intermediatePem] = certificate.certPem.split(/(?<=-----END CERTIFICATE-----\n)/u)
      const leaf = new X509Certificate(leafPem ?? '')
      const intermediate = new X509Certificate(intermediatePem ?? '')
      assert.ok(leaf.verify(intermediate.publicKey))
      assert.ok(intermediate.verify(new X509Certificate(await pebble.rootPem()).publicKey))
      assert.deepEqual(
        host.armed.map((challenges) => challenges.length),
        [2, 0],
        'both names armed together, and disarmed afterwards',
      )
      assert.deepEqual(host.published, [manager.current()])
      assert.deepEqual(host.steps, [
        'account',
        'order',
        'challenge',
        'validating',
        'finalizing',
        'downloading',
        'issued',
      ])
      for (const path of [
        '',
        'accounts',
        'generations',
        `generations/${(await readdir(join(cacheDir, 'generations')))[0]}`,
      ]) {
        assert.equal((await stat(join(cacheDir, path))).mode & 0o777, 0o700, path)
      }
      assert.equal((await stat(join(cacheDir, 'current', 'key.pem'))).mode & 0o777, 0o600)
      const left = await readdir(cacheDir)
      assert.deepEqual(
        left.toSorted(),
        ['accounts', 'current', 'generations', 'renewal.json'],
        'no lock is left',
      )

      const orders = pebble.requests('newOrder')
      await pebble.kill()
      const restarted = manage(t, settings, host)
      await restarted.load()
      assert.equal(restarted.needsOrder(), false)
      assert.deepEqual(restarted.current(), manager.current())
      assert.equal(pebble.requests('newOrder'), orders)
    },
  )
}

test('tls-alpn-01 is answered to a CA that speaks TLS 1.2 at most', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort, 'TLSv1.2')
  const manager = await acquired(t, settingsFor(pebble, temporaryDirectory(t)), host)
  assert.equal(manager.current().length, 1)
})

test('a CA out of reach: acquire fails, says why, and costs the next start no waiting', TEST, async (t) => {
  const pebble = await startPebble(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  await pebble.kill()

  const manager = manage(t, settings, host)
  await manager.load()
  await assert.rejects(manager.acquire(NEVER), {
    code: 'ACME',
    message: /cannot reach the ACME server .*ECONNREFUSED/u,
  })
  assert.deepEqual(host.events(), ['info CERT_ORDER', 'error CERT_FAILED'])

  await pebble.start()
  await acquired(t, settings, host)
})

test('a CA whose own certificate is not trusted: the error says which setting helps', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  const manager = manage(t, settingsFor(pebble, temporaryDirectory(t), { caFile: undefined }), host)
  await manager.load()
  await assert.rejects(manager.acquire(NEVER), { code: 'ACME', hint: /tls\.acme_ca_file/u })
})

const ALL_FAIL = 'validation fails: names are named, disarmed, remembered, and the next start does not order'
test(ALL_FAIL, TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  for (const name of settings.domains) await pebble.setAddresses(name, [])

  const manager = manage(t, settings, host)
  await manager.load()
  await assert.rejects(manager.acquire(NEVER), {
    code: 'ACME',
    message: /two\.example/u,
    hint: /port 443/u,
    failedNames: ['one.example', 'two.example'],
  })
  assert.deepEqual(host.challenges, [])
  const failed = host.logged.find(({ event }) => event === 'CERT_FAILED')
  assert.equal(failed?.fields['failed_names'], 'one.example,two.example')
  assert.match(String(failed?.fields['problem']), /"identifier":\{"type":"dns","value":"two\.example"\}/u)

  const restarted = manage(t, settings, host)
  await restarted.load()
  await assert.rejects(restarted.acquire(NEVER), {
    code: 'ACME',
    message: /the next is due at .*two\.example/u,
  })
  assert.equal(pebble.requests('newOrder'), 1)

  for (const name of settings.domains) await pebble.setAddresses(name, ['127.0.0.1'])
  host.clockOffsetMs += 2 * 60_000
  await acquired(t, settings, host)
})

test('one bad name: the others get their certificate, and the full set is tried later', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  await pebble.setAddresses('two.example', [])
  const settings = settingsFor(pebble, temporaryDirectory(t))

  const manager = await acquired(t, settings, host)
  assert.deepEqual(manager.current()[0]?.names, ['one.example'])
  assert.ok(host.logged.some(({ fields }) => fields['error'] === 'the certificate lacks two.example'))
  assert.equal(pebble.requests('newOrder'), 2)

  // Still bad at the next attempt: nothing would be gained by a second certificate without it.
  host.clockOffsetMs += 2 * 60_000
  manager.start()
  const failures = (): number => host.events().filter((event) => event === 'warn CERT_FAILED').length
  await waitFor('a failure while it serves', () => failures() === 1, 30_000)
  await manager.close()
  assert.equal(pebble.requests('newOrder'), 3)
  assert.equal(host.published.length, 1)

  await pebble.setAddresses('two.example', ['127.0.0.1'])
  host.clockOffsetMs += 20 * 60_000
  const restarted = manage(t, settings, host)
  await restarted.load()
  assert.equal(restarted.needsOrder(), false)
  restarted.start()
  await waitFor('both names are published', () => host.published.at(-1)?.[0]?.names.length === 2, 30_000)
})

test('renewal: a certificate past its point is replaced, with a new key', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const manager = await acquired(t, settings, host)
  const [first] = manager.current()

  host.clockOffsetMs = 65 * DAY_MS
  manager.start()
  await waitFor('the second certificate is published', () => host.published.length === 2, 30_000)
  const [second] = host.published[1] ?? []
  assert.notEqual(second?.serial, first?.serial)
  assert.notEqual(second?.keyPem, first?.keyPem)
  assert.equal(pebble.requests('newAccount'), 1)
})

test('renewal fails: the old certificate stays, the failure is logged and kept', TEST, async (t) => {
  const pebble = await startPebble(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const manager = await acquired(t, settings, host)
  await pebble.kill()

  host.clockOffsetMs = 65 * DAY_MS
  manager.start()
  await waitFor('the failure is logged', () => host.events().includes('warn CERT_FAILED'))
  await manager.close()
  assert.equal(host.published.length, 1)
  assert.equal(manager.current().length, 1)
})

test('a CA that has forgotten the account: the key gets a new one within one attempt', TEST, async (t) => {
  const pebble = await startPebble(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const manager = await acquired(t, settings, host)
  await pebble.kill()
  await pebble.start()

  host.clockOffsetMs = 65 * DAY_MS
  manager.start()
  await waitFor('the second certificate is published', () => host.published.length === 2, 30_000)
  assert.equal(host.events().includes('warn CERT_FAILED'), false)
})

test('two supervisors, one cache: one orders, the other uses its certificate', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const managers = [manage(t, settings, host), manage(t, settings, host)]
  await Promise.all(managers.map(async (manager) => await manager.load()))

  await Promise.all(managers.map(async (manager) => await manager.acquire(NEVER)))

  assert.deepEqual(managers[0]?.current(), managers[1]?.current())
  assert.equal(pebble.requests('finalize'), 1)
  assert.equal(pebble.requests('newOrder'), 1)
  assert.ok(host.steps.includes('waiting'))
})

test('a start that finds what another has got for some of the names serves that', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  await pebble.setAddresses('two.example', [])
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const late = manage(t, settings, host)
  await late.load()
  await acquired(t, settings, host)
  const orders = pebble.requests('newOrder')

  await late.acquire(NEVER)

  assert.deepEqual(late.current()[0]?.names, ['one.example'])
  assert.equal(pebble.requests('newOrder'), orders)
})

test('what another has renewed is used, though its clock be behind ours', TEST, async (t) => {
  const pebble = await startPebble(t, { authorizationReusePercent: 100 })
  const [fast, right] = [new FakeHost(), new FakeHost()]
  fast.clockOffsetMs = 50 * 60_000
  await answerTlsAlpn(t, fast, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const first = await acquired(t, settings, fast)
  const second = manage(t, settings, right)
  await second.load()
  second.start()
  await second.renew()
  first.start()
  await first.renew()
  assert.equal(first.current()[0]?.serial, second.current()[0]?.serial)
  assert.equal(pebble.requests('finalize'), 2)
})

test('a waiter waits for so long, says for whom, and then uses what is cached', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const settings = settingsFor(pebble, temporaryDirectory(t))
  const waiter = new AcmeManager(LISTENER, settings, host, { ...ACME_LIMITS, lockMs: 300 })
  t.after(async () => await waiter.close())
  await waiter.load()
  const lock = async (): Promise<HeldLock> =>
    await lockDirectory(settings.cacheDir, { signal: NEVER, onWaiting: () => {} })

  const holder = await lock()
  await assert.rejects(waiter.acquire(NEVER), {
    code: 'CACHE',
    message: new RegExp(`is held by process ${process.pid}, since 20`, 'u'),
  })
  await holder.release()
  assert.equal(pebble.requests('newOrder'), 0)

  const { serial } = (await acquired(t, settings, host)).current()[0] ?? {}
  const again = await lock()
  await waiter.acquire(NEVER)
  await again.release()
  assert.equal(waiter.current()[0]?.serial, serial)
  assert.equal(pebble.requests('newOrder'), 1)
})

test('close aborts an order under way, disarms its challenges and lets go of the lock', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  const cacheDir = temporaryDirectory(t)
  const manager = manage(t, settingsFor(pebble, cacheDir), host)
  await manager.load()
  const { promise: arming, resolve } = Promise.withResolvers<void>()
  const arm = host.arm.bind(host)
  host.arm = async (id, challenges) => {
    await arm(id, challenges)
    resolve()
    // A worker that acknowledges only after the supervisor was told to stop.
    if (challenges.length > 0) await closed.promise
  }
  const closed = Promise.withResolvers<void>()

  const order = assert.rejects(manager.acquire(NEVER), /stopping/u)
  await arming
  const closing = manager.close()
  closed.resolve()
  await Promise.all([order, closing])

  assert.deepEqual(host.challenges, [])
  assert.equal(pebble.requests('challenge'), 0)
  const left = await readdir(cacheDir)
  assert.deepEqual(left.toSorted(), ['accounts', 'generations', 'last-failure.json'])
})

test('names added: the cached certificate is served while the full set is ordered', TEST, async (t) => {
  const pebble = visit(t)
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const cacheDir = temporaryDirectory(t)
  await acquired(t, settingsFor(pebble, cacheDir, { domains: ['one.example'] }), host)

  const manager = manage(t, settingsFor(pebble, cacheDir), host)
  await manager.load()
  assert.equal(manager.needsOrder(), false)
  assert.deepEqual(manager.current()[0]?.names, ['one.example'])
  assert.deepEqual(
    host.logged.filter(({ level }) => level === 'error').map(({ fields }) => fields['error']),
    ['the certificate lacks two.example'],
  )
  manager.start()
  await waitFor('both names are published', () => host.published.at(-1)?.[0]?.names.length === 2, 30_000)
})

test(
  'a certificate that cannot be saved is served all the same, the log and the status say so, and it is saved later',
  TEST,
  async (t) => {
    const pebble = visit(t)
    const host = new FakeHost()
    await answerTlsAlpn(t, host, pebble.tlsPort)
    const cacheDir = temporaryDirectory(t)
    const arm = host.arm.bind(host)
    host.arm = async (id, challenges) => {
      // No link can be renamed to where a directory is.
      await mkdir(join(cacheDir, 'current'), { recursive: true })
      await arm(id, challenges)
    }
    const manager = await acquired(t, settingsFor(pebble, cacheDir), host)
    assert.deepEqual(host.published, [manager.current()])
    assert.ok(host.logged.some(({ fields }) => String(fields['error']).startsWith('issued but not saved')))
    const { unsaved } = manager.status()
    assert.match(unsaved?.reason ?? '', /directory/u)
    const waitMs = (unsaved?.nextTryMs ?? 0) - host.clock.nowMs()
    assert.ok(waitMs > 0 && waitMs <= HOUR_MS, `${waitMs} ms`)

    await rm(join(cacheDir, 'current'), { recursive: true })
    host.clockOffsetMs += HOUR_MS
    manager.start()
    await waitFor('it to be saved', () => manager.status().unsaved === undefined)
    assert.equal(pebble.requests('newOrder'), 1)
    const restarted = manage(t, settingsFor(pebble, cacheDir), host)
    await restarted.load()
    assert.deepEqual(restarted.current(), manager.current())
  },
)

test('external account binding: the account is made with it, once', TEST, async (t) => {
  const key = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64url')
  const pebble = await startPebble(t, { externalAccounts: { 'kid-1': key } })
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const hmacFile = join(temporaryDirectory(t), 'hmac')
  await writeFile(hmacFile, `${key}\n`)
  const settings = settingsFor(pebble, temporaryDirectory(t), { eab: { kid: 'kid-1', hmacFile } })
  const manager = await acquired(t, settings, host)
  assert.equal(manager.current().length, 1)
})

test('preferred chain: the chain that leads to the named root is installed', TEST, async (t) => {
  const pebble = await startPebble(t, { alternateRoots: 2 })
  const host = new FakeHost()
  await answerTlsAlpn(t, host, pebble.tlsPort)
  const root = await pebble.output.waitForLine(/issuer CN=(Pebble Root CA \w+)/u)
  const roots = pebble.output.lines.flatMap(
    (line) => /root issuer CN=(Pebble Root CA \w+)/u.exec(line)?.[1] ?? [],
  )
  assert.ok(root[1] !== undefined && roots.length === 3)
  const preferredChain = roots[2] ?? ''
  const manager = await acquired(t, settingsFor(pebble, temporaryDirectory(t), { preferredChain }), host)
  const last = manager
    .current()[0]
    ?.certPem.match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/gu)
    ?.at(-1)
  assert.equal(new X509Certificate(last ?? '').issuer, `CN=${preferredChain}`)
})
