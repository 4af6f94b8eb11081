// What reaches the workers, and in which order: through reloads, refusals, and workers that boot meanwhile.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcmeSettings, Config, Listener, TlsSettings } from '@reverse-proxy/shared/config/config'
import type { ConfigChange } from '@reverse-proxy/shared/config/split'
import { compareConfigs } from '@reverse-proxy/shared/config/split'
import type { ArmedChallenge, WorkerUpdate } from '@reverse-proxy/shared/ipc/messages'
import { testConfig } from '../harness/config.ts'
import { temporaryDirectory } from '../harness/directory.ts'
import type { Pebble } from '../harness/acme/pebble.ts'
import { startPebble } from '../harness/acme/pebble.ts'
import { freePort } from '../harness/ports.ts'
import { TestCa } from '../harness/tls-material.ts'
import { waitFor } from '../harness/wait.ts'
import { AcmeManager } from '../../packages/supervisor/src/certificates/acme/manager.ts'
import { CertificateRegistry } from '../../packages/supervisor/src/certificates/registry/registry.ts'
import { pauseAfterReload } from '../../packages/supervisor/src/certificates/registry/reload-transaction.ts'
import { withTimers } from '../../packages/supervisor/src/os/waitable-clock.ts'
import type { Broadcast, UpdateOutcome } from '../../packages/supervisor/src/workers/handle.ts'
import { answerTlsAlpn, FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'
import { recordingLog } from '../../packages/supervisor/test/support/recording-log.ts'

const TEST = { timeout: 120_000 }
const DAY_MS = 86_400_000
const NEVER = new AbortController().signal
const ID = '127.0.0.1:443'

/** Two workers, as a registry sees them: they acknowledge when a test lets them. */
class Workers {
  readonly updates: WorkerUpdate[] = []
  /** Between an update and its acknowledgement. */
  beforeAck: (update: WorkerUpdate) => Promise<void> | void = () => {}
  refuses: (update: WorkerUpdate, slot: number) => boolean = () => false
  /** Both died before they could acknowledge, and nobody is there yet in their place. */
  areGone: (update: WorkerUpdate) => boolean = () => false

  readonly broadcast: Broadcast = async (update) => {
    this.updates.push(update)
    await this.beforeAck(update)
    if (this.areGone(update)) return [1, 2].map((slot) => ({ pid: slot, slot, result: 'gone' }))
    return [1, 2].map((slot): UpdateOutcome => {
      const error = 'the certificate cannot be loaded'
      return this.refuses(update, slot)
        ? { pid: slot, slot, result: 'refused', error }
        : { pid: slot, slot, result: 'done' }
    })
  }

  get challenges(): readonly ArmedChallenge[] {
    return (
      this.updates
        .flatMap((update) => (update.type === 'challenges' ? [update.listener.challenges] : []))
        .at(-1) ?? []
    )
  }

  /** Serial numbers of the certificates published, one for each time. */
  get serials(): string[] {
    return this.updates.flatMap((update) =>
      update.type === 'certificates' ? [update.listener.certificates.map(({ serial }) => serial).join()] : [],
    )
  }
}

interface Scene {
  readonly pebble: Pebble
  readonly registry: CertificateRegistry
  readonly workers: Workers
  readonly log: ReturnType<typeof recordingLog>
  readonly clock: { offsetMs: number; nowMs(): number }
  readonly configWith: (changes: Partial<AcmeSettings>) => Config
}

/** Loaded, with a certificate in the cache unless told otherwise; nothing is ordered or renewed before `start`. */
async function prepare(t: TestContext, isCached = true): Promise<Scene> {
  const pebble = await startPebble(t, { authorizationReusePercent: 100 })
  const workers = new Workers()
  await answerTlsAlpn(t, workers, pebble.tlsPort)
  const log = recordingLog()
  const clock = { offsetMs: 0, nowMs: () => Date.now() + clock.offsetMs }
  const registry = new CertificateRegistry({
    stateDir: temporaryDirectory(t),
    broadcast: workers.broadcast,
    log,
    clock: withTimers(clock),
    progress: () => {},
    onSettled: () => {},
  })
  t.after(async () => await registry.close())
  const cacheDir = temporaryDirectory(t)
  const configWith = (changes: Partial<AcmeSettings>): Config =>
    configOf(settingsFor(pebble, cacheDir, changes))
  if (isCached) await obtain(t, settingsFor(pebble, cacheDir, { domains: ['one.example'] }), workers)
  await registry.load(configWith({ domains: ['one.example'] }))
  return { pebble, registry, workers, log, clock, configWith }
}

/** Puts a certificate into the cache. */
async function obtain(t: TestContext, settings: AcmeSettings, workers: Workers): Promise<void> {
  const host = new FakeHost()
  host.arm = async (listenerId, challenges) =>
    void (await workers.broadcast({ type: 'challenges', listener: { listenerId, challenges } }))
  const manager = new AcmeManager(ID, settings, host)
  await manager.load()
  await manager.acquire(NEVER)
  await manager.close()
}

/** Starts, and waits for the first attempt of every listener that has no certificate. */
async function settle(registry: CertificateRegistry): Promise<void> {
  registry.start()
  await waitFor('the first attempts', () => registry.isSettled, 30_000)
}

function servedSerial(registry: CertificateRegistry): string {
  return registry.certificates[0]?.certificates[0]?.serial ?? ''
}

function configOf(tls: TlsSettings): Config {
  const listener: Listener = { id: ID, bindAddrs: ['127.0.0.1'], httpPort: 0, httpsPort: 443, tls, sites: [] }
  return testConfig({ listeners: [listener] })
}

/** The pauses of seven reloads, each so long after the one before. */
function pausesWith(gapMs: number): number[] {
  let pause = pauseAfterReload(undefined, 0)
  const pausesMs = [pause.pauseMs]
  for (let count = 0; count < 6; count++) {
    pause = pauseAfterReload(pause, pause.atMs + gapMs)
    pausesMs.push(pause.pauseMs)
  }
  return pausesMs
}

// Each has a CA of its own and mostly waits for it; more than three CAs at once start too slowly.
describe('certificate registry', { concurrency: 3 }, () => {
  test('a reload in the middle of a renewal: never an older certificate again', TEST, async (t) => {
    const { registry, workers, clock, configWith } = await prepare(t)
    const first = servedSerial(registry)

    // The renewal has its certificate, and waits for a slow worker to acknowledge it.
    const acknowledged = Promise.withResolvers<void>()
    workers.beforeAck = async ({ type }) => (type === 'certificates' ? await acknowledged.promise : undefined)
    clock.offsetMs = 65 * DAY_MS
    const before = configWith({ domains: ['one.example'] })
    const change: ConfigChange = compareConfigs(before, configWith({}))
    const transaction = await registry.prepare(change)
    registry.start()
    await waitFor('the renewed certificate', () => workers.serials.length === 1, 30_000)
    const handingOver = transaction.apply().then(async () => await transaction.commit())
    workers.beforeAck = () => {}
    acknowledged.resolve()

    await handingOver
    assert.equal(registry.isComplete, false)
    await waitFor('both names', () => registry.certificates[0]?.certificates[0]?.names.length === 2, 30_000)
    const [second, third] = workers.serials
    assert.notEqual(second, first)
    assert.equal(third, second, 'the new manager publishes what is newest')
    assert.equal(new Set(workers.serials).size, 2)
    assert.ok(!workers.serials.includes(first))
  })

  test('reloads in quick succession lead to one order, for the last set', TEST, async (t) => {
    const { pebble, registry, workers, configWith } = await prepare(t)
    registry.start()
    let running = configWith({ domains: ['one.example'] })
    for (const added of ['two.example', 'three.example', 'four.example', 'five.example']) {
      const next = configWith({ domains: ['one.example', added] })
      const transaction = await registry.prepare(compareConfigs(running, next))
      await transaction.apply()
      await transaction.commit()
      running = next
      // Longer than an order takes to begin.
      await sleep(300)
    }
    assert.equal(registry.isComplete, false)
    await waitFor('the last set', () => registry.isComplete, 30_000)
    assert.equal(pebble.requests('newOrder'), 2)
    // On a busy machine a load may end after its reload, and hands on once more.
    assert.ok(workers.serials.length >= 4 + 1, 'what was there is handed on with each reload')
    assert.equal(new Set(workers.serials).size, 2, 'nothing else was issued')
    const served = registry.certificates[0]?.certificates[0]?.names.toSorted()
    assert.deepEqual(served, ['five.example', 'one.example'])
  })

  test('reloads that keep cutting orders short wait ever longer; after some quiet, seconds again', () => {
    assert.deepEqual(pausesWith(1_000), [2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000])
    assert.deepEqual(pausesWith(5_000), [2_000, 4_000, 8_000, 8_000, 8_000, 8_000, 8_000])
    assert.deepEqual(pausesWith(60_000), [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    assert.deepEqual(pausesWith(120_000), [2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000])
  })

  test('another CA by reload: the old certificate serves until the new one is there', TEST, async (t) => {
    const { registry, workers, configWith } = await prepare(t)
    const other = await startPebble(t)
    await answerTlsAlpn(t, workers, other.tlsPort)
    const { directoryUrl, caFile } = other
    const next = configWith({
      domains: ['one.example'],
      directoryUrl,
      caFile,
      cacheDir: temporaryDirectory(t),
    })
    const change = compareConfigs(configWith({ domains: ['one.example'] }), next)
    const transaction = await registry.prepare(change)
    await transaction.apply()
    await transaction.commit()
    assert.equal(registry.isComplete, false)
    await waitFor('the new certificate', () => new Set(workers.serials).size === 2, 30_000)
    assert.ok(!workers.serials.includes(''), 'never nothing')
  })

  test(
    'a certificate that no worker can load: the next worker begins with the old one, and the renewal is tried again',
    TEST,
    async (t) => {
      const { registry, workers, clock } = await prepare(t)
      const [first] = registry.certificates
      const [before] = registry.statuses
      workers.refuses = ({ type }) => type === 'certificates'
      clock.offsetMs = 65 * DAY_MS
      registry.start()
      await waitFor('the failure', () => registry.statuses[0]?.failure !== undefined, 30_000)
      assert.match(
        registry.statuses[0]?.failure?.reason ?? '',
        /^no worker can serve it: the certificate cannot/u,
      )
      assert.deepEqual(registry.certificates, [first])
      assert.deepEqual(registry.statuses[0]?.certificates, before?.certificates)
    },
  )

  test(
    'a reload that is taken back: what was served is served again, and goes on being renewed',
    TEST,
    async (t) => {
      const { registry, workers, configWith } = await prepare(t)
      const first = servedSerial(registry)
      registry.start()
      const pair = await (await TestCa.create(t)).issue(['one.example'])
      const running = configWith({ domains: ['one.example'] })
      const next = configOf({ mode: 'manual', pairs: [pair] })
      const transaction = await registry.prepare(compareConfigs(running, next))
      await transaction.apply()
      const [second] = workers.serials
      assert.notEqual(second, first)
      // Whatever has become of the files: nothing is read again.
      await rm(pair.certPath)
      await transaction.rollback()
      assert.deepEqual(workers.serials, [second, first])
      assert.equal(registry.statuses[0]?.mode, 'acme')
      await registry.renew('one.example')
      assert.equal(workers.serials.length, 3)
    },
  )

  test('a reload whose certificate no worker takes fails before anything is given up', TEST, async (t) => {
    const { registry, workers, configWith } = await prepare(t)
    const [first] = registry.certificates
    const pair = await (await TestCa.create(t)).issue(['one.example'])
    const change = compareConfigs(
      configWith({ domains: ['one.example'] }),
      configOf({ mode: 'manual', pairs: [pair] }),
    )
    const transaction = await registry.prepare(change)
    workers.refuses = ({ type }) => type === 'certificates'
    await assert.rejects(transaction.apply(), { code: 'CERTIFICATE' })
    workers.refuses = () => false
    await transaction.rollback()
    assert.deepEqual(registry.certificates, [first])
    assert.equal(registry.statuses[0]?.mode, 'acme')
  })

  test(
    'a worker that cannot load a certificate is reported by its number; the others have it',
    TEST,
    async (t) => {
      const { registry, workers, log } = await prepare(t, false)
      workers.refuses = ({ type }, slot) => type === 'certificates' && slot === 2
      await settle(registry)
      const failed = log.lines.filter(({ event }) => event === 'CERT_FAILED')
      assert.deepEqual(
        failed.map(({ level, listener, worker, error }) => ({ level, listener, worker, error })),
        [{ level: 'error', listener: ID, worker: 2, error: 'the certificate cannot be loaded' }],
      )
      assert.equal(registry.serving, 1)
    },
  )

  test(
    'a worker that cannot answer a challenge: the CA is not told, and nothing stays armed',
    TEST,
    async (t) => {
      const { pebble, registry, workers } = await prepare(t, false)
      workers.refuses = (update) => update.type === 'challenges' && update.listener.challenges.length > 0
      await settle(registry)
      assert.match(String(registry.hopelessness), /a worker cannot answer the challenge/u)
      assert.equal(pebble.requests('challenge'), 0)
      assert.deepEqual(workers.challenges, [])
    },
  )

  test(
    'the CA is told only when a worker is there to answer it, however often they die meanwhile',
    TEST,
    async (t) => {
      const { pebble, registry, workers } = await prepare(t, false)
      let deaths = 2
      let toldTooEarly = 0
      workers.areGone = (update) => {
        if (update.type !== 'challenges' || update.listener.challenges.length === 0 || deaths === 0)
          return false
        deaths--
        toldTooEarly += pebble.requests('challenge')
        return true
      }
      await settle(registry)
      assert.equal(deaths, 0)
      assert.equal(toldTooEarly, 0)
      assert.equal(registry.statuses[0]?.failure, undefined)
    },
  )

  test('a worker that boots while others are told begins with the same', TEST, async (t) => {
    const { registry, workers } = await prepare(t, false)
    const seen = { challenges: 0, certificates: 0 }
    workers.beforeAck = (update) => {
      if (update.type === 'challenges') {
        assert.deepEqual(registry.challenges, [update.listener])
        seen.challenges++
      }
      if (update.type === 'certificates') {
        assert.deepEqual(registry.certificates, [update.listener])
        seen.certificates++
      }
    }
    await settle(registry)
    assert.deepEqual(seen, { challenges: 2, certificates: 1 })
  })

  test('start: a listener whose CA cannot be reached does not end the order of another', TEST, async (t) => {
    const pebble = await startPebble(t)
    const workers = new Workers()
    await answerTlsAlpn(t, workers, pebble.tlsPort)
    const registry = new CertificateRegistry({
      stateDir: temporaryDirectory(t),
      broadcast: workers.broadcast,
      log: recordingLog(),
      clock: withTimers({ nowMs: () => Date.now() }),
      progress: () => {},
      onSettled: () => {},
    })
    t.after(async () => await registry.close())
    const good = configOf(settingsFor(pebble, temporaryDirectory(t)))
    const nowhere = { caFile: pebble.caFile, directoryUrl: `https://127.0.0.1:${await freePort()}/dir` }
    const bad = configOf(settingsFor(nowhere, temporaryDirectory(t)))
    const listeners = [...good.listeners, ...bad.listeners.map((listener) => ({ ...listener, id: 'other' }))]
    await registry.load({ ...good, listeners })
    await settle(registry)
    assert.equal(workers.serials.length, 1)
    assert.equal(registry.serving, 1)
    assert.equal(registry.hopelessness, undefined)
    const [, other] = registry.statuses
    assert.match(other?.failure?.reason ?? '', /cannot reach/u)
    assert.ok((other?.nextAttemptMs ?? 0) > Date.now(), 'it is tried again')
  })
  test(
    'start: an expired certificate that cannot be renewed is not served; the other listener is',
    TEST,
    async (t) => {
      const { pebble, workers, log, clock, configWith, registry: first } = await prepare(t)
      await first.close()
      await pebble.kill()
      clock.offsetMs = 100 * DAY_MS
      const registry = new CertificateRegistry({
        stateDir: temporaryDirectory(t),
        broadcast: workers.broadcast,
        log,
        clock: withTimers(clock),
        progress: () => {},
        onSettled: () => {},
      })
      t.after(async () => await registry.close())
      const pair = await (await TestCa.create(t)).issue(['two.example'])
      const manual = configOf({ mode: 'manual', pairs: [pair] }).listeners.map((one) => ({
        ...one,
        id: 'manual',
      }))
      const config = configWith({ domains: ['one.example'] })
      const running = { ...config, listeners: [...config.listeners, ...manual] }
      await registry.load(running)
      await settle(registry)
      const idsOf = (): string[] =>
        registry.certificates
          .filter(({ certificates }) => certificates.length > 0)
          .map(({ listenerId }) => listenerId)
      assert.deepEqual(idsOf(), ['manual'])
      assert.equal(registry.serving, 1)
      assert.equal(registry.hopelessness, undefined)
      assert.equal(registry.isComplete, false)

      // Neither does a reload take it into service, completed or taken back.
      const changed = configWith({ domains: ['one.example'], contact: 'mailto:other@example.org' })
      const next = { ...changed, listeners: [...changed.listeners, ...manual] }
      const rolledBack = await registry.prepare(compareConfigs(running, next))
      await rolledBack.apply()
      await rolledBack.rollback()
      assert.deepEqual(idsOf(), ['manual'])
      const transaction = await registry.prepare(compareConfigs(running, next))
      await transaction.apply()
      await transaction.commit()
      assert.deepEqual(idsOf(), ['manual'])
    },
  )
})
