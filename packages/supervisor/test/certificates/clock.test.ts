// Clock: a machine whose clock is wrong, jumps or stood still orders no more than another, and does what is
// right as soon as the clock is.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { createRandom } from '../support/random.ts'
import type { Outage, VirtualWorldOptions } from '../support/virtual-world.ts'
import { DAY_MS, HOUR_MS, START_MS, VirtualWorld } from '../support/virtual-world.ts'

const TEST = { timeout: 60_000 }
const MINUTE_MS = HOUR_MS / 60
const YEAR_MS = 365 * DAY_MS
const LIFETIME_MS = 45 * DAY_MS
/** Node fires a timer that is longer than this at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

function createWorld(t: TestContext, changes: Partial<VirtualWorldOptions> = {}): VirtualWorld {
  return new VirtualWorld(t, {
    random: createRandom(7),
    lifetimeMs: () => LIFETIME_MS,
    outages: [],
    // None: what is tried here is our own idea of time.
    suggest: () => undefined,
    ...changes,
  })
}

function countOf(world: VirtualWorld, event: string): number {
  return world.log.lines.filter((line) => line.event === event).length
}

/** Every certificate but the last was replaced with a third left, a half of a short life; or a little before. */
function assertOnTime({ issued, servedFromMs }: VirtualWorld): void {
  for (const [index, { facts }] of issued.slice(0, -1).entries()) {
    const replacedMs = servedFromMs.get(issued[index + 1]?.facts.serial ?? '') ?? Number.NaN
    const left = (facts.notAfterMs - replacedMs) / (facts.notAfterMs - facts.notBeforeMs)
    assert.ok(left > 0.33 && left < 0.36, `replaced with ${left} of its lifetime left`)
  }
}

test(
  'clock: a start with it a year slow serves the cached certificate, and orders nothing until that is due',
  TEST,
  async (t) => {
    const world = createWorld(t)
    await world.live(10 * DAY_MS)
    world.clock.skewMs = -YEAR_MS
    for (let restarts = 0; restarts < 5; restarts++) await world.live(DAY_MS)
    assert.equal(world.issued.length, 1)
    assert.equal(countOf(world, 'CERT_EXPIRED') + countOf(world, 'CERT_EXPIRING'), 0)

    world.clock.skewMs = 0
    await world.live(55 * DAY_MS)
    assert.equal(world.issued.length, 3)
    assertOnTime(world)
  },
)

test(
  'clock: jumps of a day to and fro cost at most one order more, and nothing is called expired',
  TEST,
  async (t) => {
    for (const lifetimeMs of [160 * HOUR_MS, LIFETIME_MS]) {
      const world = createWorld(t, { lifetimeMs: () => lifetimeMs })
      const durationMs = 2 * lifetimeMs
      for (
        let atMs = START_MS + lifetimeMs / 9, jumps = 0;
        atMs < START_MS + durationMs;
        atMs += lifetimeMs / 9, jumps++
      ) {
        const skewMs = [DAY_MS, 0, -DAY_MS, 0][jumps % 4] ?? 0
        world.clock.at(atMs, () => (world.clock.skewMs = skewMs))
      }
      await world.live(durationMs)
      const usual = lifetimeMs < 10 * DAY_MS ? 4 : 3
      assert.ok(world.attempts.length <= usual + 1, `${world.attempts.length} orders`)
      assert.equal(countOf(world, 'CERT_EXPIRED'), 0)
      assert.equal(countOf(world, 'CERT_FAILED'), 0)
    }
  },
)

test('clock: a day ahead, a certificate of an hour is not ordered over and over', TEST, async (t) => {
  const world = createWorld(t, { lifetimeMs: () => HOUR_MS })
  world.clock.at(START_MS + 3 * HOUR_MS, () => (world.clock.skewMs = DAY_MS))
  world.clock.at(START_MS + 6 * HOUR_MS, () => (world.clock.skewMs = 0))
  await world.live(9 * HOUR_MS)
  assert.ok(world.attempts.length <= 20, `${world.attempts.length} orders`)
})

test(
  'clock: a failure under a fast clock does not put off the next attempt once the clock is right',
  TEST,
  async (t) => {
    const dueMs = START_MS + LIFETIME_MS * 0.64
    const outage: Outage = { fromMs: dueMs - DAY_MS, toMs: dueMs + 3 * DAY_MS }
    const world = createWorld(t, { outages: [outage] })
    world.clock.at(outage.fromMs, () => (world.clock.skewMs = 10 * DAY_MS))
    world.clock.at(outage.toMs - HOUR_MS, () => (world.clock.skewMs = 0))
    await world.live(LIFETIME_MS * 0.75)
    assert.equal(world.issued.length, 2)
    const [replaced] = world.issued
    const leftMs = (replaced?.facts.notAfterMs ?? 0) - (world.issued[1]?.facts.notBeforeMs ?? 0)
    // The outage has taken three days of a third and a bit, and the wait that was under way then one more at most.
    assert.ok(leftMs / LIFETIME_MS > 0.26, `replaced with ${leftMs / DAY_MS} days left`)
  },
)

test(
  'clock: a certificate that came under a clock weeks ahead is replaced in time once that is right',
  TEST,
  async (t) => {
    const world = createWorld(t)
    world.clock.at(START_MS + 10 * DAY_MS, () => (world.clock.skewMs = 30 * DAY_MS))
    world.clock.at(START_MS + 11 * DAY_MS, () => (world.clock.skewMs = 0))
    await world.live(50 * DAY_MS)
    assert.equal(world.issued.length, 3)
    const [, early, onTime] = world.issued.map(({ facts }) => facts.notBeforeMs)
    assert.ok(Math.abs((onTime ?? 0) - (early ?? 0) - 30 * DAY_MS) < DAY_MS)
  },
)

test('clock: after three days of sleep what fell due is done at once, and once', TEST, async (t) => {
  const world = createWorld(t)
  const asleepMs = START_MS + LIFETIME_MS * 0.64
  world.clock.at(asleepMs, () => world.clock.suspend(3 * DAY_MS))
  await world.live(LIFETIME_MS)
  assert.equal(world.issued.length, 2)
  const lateMs = (world.attempts[1]?.atMs ?? Number.NaN) - (asleepMs + 3 * DAY_MS)
  assert.ok(lateMs >= 0 && lateMs < 5 * MINUTE_MS, `${lateMs} ms after it woke up`)
})

test('clock: what is due in months is waited for with timers that Node can count', TEST, async (t) => {
  const world = createWorld(t, { lifetimeMs: () => YEAR_MS })
  await world.live(30 * DAY_MS)
  assert.equal(world.attempts.length, 1)
  assert.ok(world.clock.longestTimerMs < LONGEST_TIMER_MS)
})
