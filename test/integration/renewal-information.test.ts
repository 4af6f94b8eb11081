// ARI (RFC 9773): the CA's window is followed, our moment in it is drawn once, a revocation is answered
// within one look; and whatever else a CA says or fails to say, the lifetime rule has the last word.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as x509 from '@peculiar/x509'
import { html, serverError } from '../harness/acme/answers.ts'
import type { SuggestRenewal } from '../harness/acme/renewal-info.ts'
import { suggestAsUsual, suggestAt, windowOf } from '../harness/acme/renewal-info.ts'
import { waitFor } from '../harness/wait.ts'
import { parseRenewalInfo, pauseMs } from '../../packages/supervisor/src/certificates/renewal/ari.ts'
import { certificateIdOf } from '../../packages/supervisor/src/certificates/crypto/signing.ts'
import { RenewalPlan } from '../../packages/supervisor/src/certificates/renewal/plan.ts'
import { openFileStorage } from '../../packages/supervisor/src/certificates/storage/file-storage.ts'
import { RenewalStore } from '../../packages/supervisor/src/certificates/renewal/renewal-record.ts'
import { backstopAtMs } from '../../packages/supervisor/src/certificates/renewal/schedule.ts'
import type { ListenerLife } from '../harness/certificates/ca-scene.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'
import { createRandom } from '../../packages/supervisor/test/support/random.ts'
import { recordingLog } from '../../packages/supervisor/test/support/recording-log.ts'
import type { VirtualWorldOptions } from '../../packages/supervisor/test/support/virtual-world.ts'
import {
  DAY_MS,
  HOUR_MS,
  quickDirectory,
  START_MS,
  VirtualWorld,
} from '../../packages/supervisor/test/support/virtual-world.ts'

const TEST = { timeout: 120_000 }
const WAIT_MS = 30_000
const MINUTE_MS = HOUR_MS / 60
const YEAR_MS = 365 * DAY_MS
const LIFETIME_MS = 90 * DAY_MS
const MONTH_MS = 30 * DAY_MS
const WEEK_MS = 7 * DAY_MS
/** The CA of the harness asks for six hours. */
const NEXT_LOOK_MS = 6 * HOUR_MS + MINUTE_MS

interface Agreed {
  readonly startMs: number
  readonly endMs: number
  readonly chosenMs: number
}

async function agreedIn(life: ListenerLife): Promise<Agreed | undefined> {
  const { window, chosenMs } = await life.record('renewal.json')
  if (typeof window !== 'object' || window === null || typeof chosenMs !== 'number') return undefined
  return { startMs: 0, endMs: 0, ...window, chosenMs }
}

test('ari: a real CA whose window moves', TEST, async (t) => {
  const scene = await CaScene.start(t)
  const { ca, host } = scene
  const looks = (): number => ca.requestsOf('renewalInfo').length

  /** Runs until the CA has been asked once more, and what it said has been noted. */
  async function look(life: ListenerLife): Promise<Agreed | undefined> {
    const before = { looks: looks(), nextLookMs: (await life.record('renewal.json'))['nextLookMs'] }
    const manager = await life.load()
    manager.start()
    await waitFor('the CA is asked', () => looks() > before.looks, WAIT_MS)
    await waitFor(
      'it is noted',
      async () => (await life.record('renewal.json'))['nextLookMs'] !== before.nextLookMs,
      WAIT_MS,
    )
    await manager.close()
    return await agreedIn(life)
  }

  await t.test(
    'ari: our moment lies in the window, is drawn once, and outlives restarts',
    TEST,
    async (st) => {
      ca.suggest = suggestAt(0.5)
      const life = scene.enter(st)
      await life.attempt()
      const agreed = await look(life)
      assert.ok(agreed && agreed.chosenMs >= agreed.startMs && agreed.chosenMs <= agreed.endMs)
      const before = looks()
      for (let restarts = 0; restarts < 20; restarts++) {
        const manager = await life.load()
        manager.start()
        assert.equal(manager.status().nextAttemptMs, agreed.chosenMs)
        assert.deepEqual(manager.status().renewalWindow, { startMs: agreed.startMs, endMs: agreed.endMs })
        await manager.close()
      }
      assert.equal(looks(), before)

      // Asked again, the CA says the same: the moment stays what it was.
      host.clockOffsetMs += NEXT_LOOK_MS
      assert.deepEqual(await look(life), agreed)
    },
  )

  await t.test(
    'ari: a window that moves, earlier or later, is followed at the next look',
    TEST,
    async (st) => {
      ca.suggest = suggestAt(0.5)
      const life = scene.enter(st)
      await life.attempt()
      await look(life)
      for (const point of [0.3, 0.6]) {
        ca.suggest = suggestAt(point)
        host.clockOffsetMs += NEXT_LOOK_MS
        const agreed = await look(life)
        assert.ok(agreed && agreed.chosenMs >= agreed.startMs && agreed.chosenMs <= agreed.endMs)
        const [facts] = (await life.load()).status().certificates
        assert.ok(facts && Math.abs((agreed.chosenMs - facts.notBeforeMs) / LIFETIME_MS - point) < 0.011)
      }
      assert.equal(life.newOrders(), 1)
    },
  )

  await t.test(
    'ari: a window in the past (a revocation) has the certificate replaced at the next look, with a new key',
    TEST,
    async (st) => {
      ca.suggest = suggestAt(0.5)
      const life = scene.enter(st)
      const manager = await life.attempt()
      const old = ca.certificates.at(-1)
      manager.start()
      await waitFor('the first window is agreed', async () => await agreedIn(life), WAIT_MS)
      const publications = host.published.length
      ca.suggest = (certificate) => (certificate.id === old?.id ? suggestAt(-1) : suggestAt(0.5))(certificate)
      host.clockOffsetMs += NEXT_LOOK_MS
      await waitFor('its successor is served', () => host.published.length > publications, WAIT_MS)
      const successor = ca.certificates.at(-1)
      assert.notEqual(successor?.keyDigest, old?.keyDigest)
      assert.equal(ca.requestsOf('newOrder').at(-1)?.replaces, old?.id)
      assert.equal(host.published.at(-1)?.[0]?.serial, successor?.serial)
      await manager.close()
    },
  )

  const oddities: Readonly<Record<string, SuggestRenewal>> = {
    'ends before it starts': ({ notAfterMs }) => windowOf(notAfterMs, notAfterMs - DAY_MS),
    'has no length': ({ notBeforeMs }) => windowOf(notBeforeMs, notBeforeMs),
    'has no dates': () => ({ start: 'soon', end: 'later' }),
    'is of a certificate it does not know': () => undefined,
  }
  const answers = {
    'is a page for people': html(200),
    'is an error': serverError(),
    'is under maintenance': html(503),
  }
  await t.test(
    'ari: what cannot be used changes nothing that was agreed, and is logged once',
    TEST,
    async (st) => {
      ca.suggest = suggestAt(0.5)
      const life = scene.enter(st)
      await life.attempt()
      const agreed = await look(life)
      host.logged.length = 0
      for (const suggest of Object.values(oddities)) {
        ca.suggest = suggest
        host.clockOffsetMs += 2 * NEXT_LOOK_MS
        assert.deepEqual(await look(life), agreed)
      }
      for (const answer of Object.values(answers)) {
        ca.removeFaults()
        ca.inject({ on: 'renewalInfo', answer })
        host.clockOffsetMs += 2 * NEXT_LOOK_MS
        assert.deepEqual(await look(life), agreed)
      }
      assert.equal(host.events().filter((event) => event === 'warn CERT_RENEWAL_INFO').length, 1)
      assert.equal((await life.record('renewal.json'))['failures'], 7)
      ca.removeFaults()
      ca.suggest = suggestAsUsual
    },
  )
})

/** Of certificates that live 30 days. */
function createWorld(t: TestContext, changes: Partial<VirtualWorldOptions>): VirtualWorld {
  return new VirtualWorld(t, {
    random: createRandom(5),
    lifetimeMs: () => MONTH_MS,
    outages: [],
    suggest: () => undefined,
    ...changes,
  })
}

const suggested = (startMs: number, endMs: number): object => ({
  suggestedWindow: { start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() },
})

test(
  'ari: the lifetime rule wins over every window that is late, long or lies beyond the expiry',
  TEST,
  async (t) => {
    for (const [from, to] of [
      [0.9, 0.95],
      [0.5, 3],
      [100, 200],
    ] as const) {
      const suggest: VirtualWorldOptions['suggest'] = ({ notBeforeMs }) =>
        suggested(notBeforeMs + from * MONTH_MS, notBeforeMs + to * MONTH_MS)
      const world = createWorld(t, { suggest })
      await world.live(MONTH_MS * 0.67)
      assert.equal(world.issued.length, 2, `${from} to ${to}`)
      const left = ((world.issued[0]?.facts.notAfterMs ?? 0) - (world.issued[1]?.obtainedMs ?? 0)) / MONTH_MS
      assert.ok(left > 0.333 && left < 0.51, `${from} to ${to}: ${left}`)
    }
  },
)

test(
  'ari: with no usable answer for days the CA is asked ever more seldom, and the lifetime rule renews',
  TEST,
  async (t) => {
    const world = createWorld(t, { suggest: () => '<!doctype html>', retryAfterMs: 0 })
    await world.live(MONTH_MS * 0.67)
    assert.equal(world.issued.length, 2)
    const tenDays = world.askedMs.filter((timeMs) => timeMs < START_MS + 10 * DAY_MS)
    assert.ok(tenDays.length >= 20 && tenDays.length < 35, `${tenDays.length} in ten days`)
    assert.equal(
      world.log.lines.filter(({ event, level }) => event === 'CERT_RENEWAL_INFO' && level === 'warn').length,
      2,
    )
  },
)

test('ari: Retry-After is obeyed from a minute to twelve hours, whatever it says', TEST, async (t) => {
  for (const [retryAfterMs, leastMs, mostMs] of [
    [0, MINUTE_MS, 2 * MINUTE_MS],
    [HOUR_MS, HOUR_MS, HOUR_MS + MINUTE_MS],
    [YEAR_MS, 6 * HOUR_MS, 12 * HOUR_MS + MINUTE_MS],
  ] as const) {
    const world = createWorld(t, {
      retryAfterMs,
      suggest: ({ notAfterMs }) => suggested(notAfterMs, notAfterMs + 1),
    })
    await world.live(retryAfterMs === 0 ? HOUR_MS : 3 * DAY_MS)
    const gapsMs = world.askedMs.slice(1).map((timeMs, index) => timeMs - (world.askedMs[index] ?? 0))
    assert.ok(gapsMs.length > 3)
    for (const gapMs of gapsMs) assert.ok(gapMs >= leastMs && gapMs <= mostMs, `${gapMs} ms`)
  }
})

test(
  'ari: a CA that wants every certificate replaced at once gets no more than it allows',
  TEST,
  async (t) => {
    const world = createWorld(t, {
      suggest: ({ notBeforeMs }) => suggested(notBeforeMs - DAY_MS, notBeforeMs - HOUR_MS),
    })
    for (let restarts = 0; restarts < 5; restarts++) await world.live(4 * DAY_MS)
    const timesMs = world.issued.map(({ obtainedMs }) => obtainedMs)
    for (const endMs of timesMs) {
      const inWeek = timesMs.filter((timeMs) => timeMs > endMs - WEEK_MS && timeMs <= endMs)
      assert.ok(inWeek.length <= 5, `${inWeek.length} in seven days`)
    }
    assert.ok(timesMs.length > 5, 'otherwise it gets what it wants')
  },
)

for (const [name, point] of [
  ['in the middle of the lifetime', 0.5],
  ['where Boulder puts it, as far as it lies before the backstop', 2 / 3],
] as const) {
  test(`ari: 1,000 certificates spread evenly over their window: ${name}`, TEST, async (t) => {
    const nowMs = START_MS
    const facts = { names: [], issuer: '', notBeforeMs: nowMs, notAfterMs: nowMs + LIFETIME_MS }
    const middleMs = nowMs + LIFETIME_MS * point
    const window = { startMs: middleMs - LIFETIME_MS / 100, endMs: middleMs + LIFETIME_MS / 100 }
    const store = new RenewalStore(openFileStorage(quickDirectory(t)), () => {})
    const plan = new RenewalPlan({
      listenerId: 'listener',
      directoryUrl: 'ca',
      store,
      clock: {
        nowMs: () => nowMs,
        monotonicMs: () => nowMs,
        toWallTime: (timeMs) => timeMs,
        wallOffsetMs: 0,
      },
      log: recordingLog(),
      ask: async () => ({ data: suggested(window.startMs, window.endMs), retryAfterMs: undefined }),
    })
    const chosenMs: number[] = []
    for (let index = 0; index < 1_000; index++) {
      const certificate = {
        certPem: '',
        keyPem: '',
        facts: { ...facts, serial: String(index) },
        origin: 'ca',
        obtainedMs: nowMs,
      }
      await plan.look(certificate, new AbortController().signal)
      chosenMs.push(plan.dueMs(certificate))
    }
    const endMs = Math.min(window.endMs, backstopAtMs(facts, nowMs))
    const places = chosenMs
      .map((timeMs) => (timeMs - window.startMs) / (endMs - window.startMs))
      .toSorted((a, b) => a - b)
    assert.ok((places[0] ?? -1) >= 0 && (places.at(-1) ?? 2) <= 1)
    // Kolmogorov and Smirnov: by chance as far off as this once in 100,000 runs.
    const farthest = Math.max(
      ...places.map((place, index) => Math.abs(place - (index + 0.5) / places.length)),
    )
    t.diagnostic(`farthest from even: ${farthest.toFixed(4)}`)
    assert.ok(farthest < 2.5 / Math.sqrt(places.length), String(farthest))
  })
}

test('ari: odd renewal information is told from sound, and never throws', () => {
  const [start, end] = ['2027-01-01T00:00:00Z', '2027-01-02T00:00:00.5+01:00']
  assert.deepEqual(
    parseRenewalInfo({ suggestedWindow: { start, end }, explanationURL: 'https://why.example' }),
    {
      window: { startMs: Date.UTC(2027, 0, 1), endMs: Date.UTC(2027, 0, 1, 23, 0, 0, 500) },
      explanationUrl: 'https://why.example',
    },
  )
  for (const odd of [
    undefined,
    null,
    '',
    [],
    {},
    { suggestedWindow: null },
    { suggestedWindow: { start, end: start } },
    { suggestedWindow: { start: end, end: start } },
    { suggestedWindow: { start: 1, end: 2 } },
    { suggestedWindow: { start: '2027', end: '2028' } },
    { suggestedWindow: { start: '2027-13-40T00:00:00Z', end } },
  ]) {
    assert.equal(typeof parseRenewalInfo(odd), 'string', JSON.stringify(odd))
  }
})

test('ari: a certificate of an hour is asked about every six minutes at least', () => {
  const validity = { notBeforeMs: 0, notAfterMs: HOUR_MS }
  assert.equal(pauseMs(undefined, 0, validity), HOUR_MS / 10)
  assert.equal(pauseMs(YEAR_MS, 3, validity), HOUR_MS / 10)
})

test("ari: a certificate's name is the one of RFC 9773 4.1, with the zero byte before a high bit", async () => {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
    'verify',
  ])
  const key = '69885b6b87464041e1b37b847ba0ae2cde01c8d4'
  for (const [serialNumber, expected] of [
    ['0087654321', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE'],
    ['87654321', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE'],
    ['0765', 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.B2U'],
  ] as const) {
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber,
      name: 'CN=x',
      keys,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [new x509.AuthorityKeyIdentifierExtension(key)],
    })
    assert.equal(certificateIdOf(certificate.toString('pem')), expected)
  }
  const bare = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=x',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  })
  assert.equal(certificateIdOf(bare.toString('pem')), undefined)
})

test('ari: a recorded window at no time that a calendar has is forgotten', TEST, async (t) => {
  const directory = quickDirectory(t)
  const window = { startMs: 1e300, endMs: 1e300 }
  const record = { serial: '01', window, chosenMs: 1e300, nextLookMs: 0, failures: 0, issuedMs: [1e300] }
  await writeFile(join(directory, 'renewal.json'), JSON.stringify(record), { mode: 0o600 })
  const loaded = await new RenewalStore(openFileStorage(directory), () => {}).load()
  assert.deepEqual([loaded?.window, loaded?.chosenMs, loaded?.issuedMs], [undefined, undefined, []])
})
