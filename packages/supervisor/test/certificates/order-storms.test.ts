// Order storms: whatever the clocks say, the machine's, the CA's servers' or both in turn, and however often the
// program is restarted meanwhile, a CA is asked for no more than the retry schedule and its own limit allow.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { IS_FULL } from '../../../../test/harness/size.ts'
import { createRandom } from '../support/random.ts'
import type { VirtualWorldOptions } from '../support/virtual-world.ts'
import { DAY_MS, HOUR_MS, START_MS, VirtualWorld } from '../support/virtual-world.ts'

const TEST = { timeout: IS_FULL ? 300_000 : 60_000 }
const MINUTE_MS = HOUR_MS / 60
const WEEK_MS = 7 * DAY_MS
const SHORT_MS = 160 * HOUR_MS
const LONG_MS = 45 * DAY_MS
/** From a start to the next one. */
const DURATIONS_MS = IS_FULL ? [WEEK_MS, 5 * HOUR_MS] : [14 * HOUR_MS]
/** Let's Encrypt's, for the same names. */
const MOST_PER_WEEK = 5
/** At once, after 1, 10 and 100 minutes, and one that is due that day. */
const MOST_PER_DAY = 5
const RETRIES_PER_WEEK = MOST_PER_DAY + 6
/** Four in 0.45 of a lifetime, the limit of issuance-limit.ts, and one that begins the next four. */
const SHORT_PER_WEEK = 13

function createWorld(t: TestContext, changes: Partial<VirtualWorldOptions> = {}): VirtualWorld {
  return new VirtualWorld(t, {
    random: createRandom(12),
    lifetimeMs: () => LONG_MS,
    outages: [],
    suggest: () => '',
    ...changes,
  })
}

/** A start that is refused is repeated, as systemd does it, with a pause that makes a year of it last no year. */
async function restart(world: VirtualWorld, untilMs: number, durationMs: number): Promise<void> {
  while (world.clock.trueMs < untilMs) {
    await world.live(durationMs).catch(() => world.clock.advance(47 * MINUTE_MS))
  }
}

function mostWithin(timesMs: readonly number[], spanMs: number): number {
  return Math.max(
    0,
    ...timesMs.map((fromMs) => timesMs.filter((one) => one >= fromMs && one < fromMs + spanMs).length),
  )
}

function assertFew({ attempts }: VirtualWorld, perWeek: number, what: string): void {
  const perDay = mostWithin(
    attempts.map(({ atMs }) => atMs),
    DAY_MS,
  )
  assert.ok(perDay <= MOST_PER_DAY, `${what}: ${perDay} orders in a day`)
  const inWeek = mostWithin(
    attempts.map(({ atMs }) => atMs),
    WEEK_MS,
  )
  assert.ok(inWeek <= perWeek, `${what}: ${inWeek} orders in a week`)
}

test(
  'storms: a clock that is fast by any part of a lifetime leads to no order after order',
  TEST,
  async (t) => {
    for (const lifetimeMs of [SHORT_MS, LONG_MS]) {
      for (const part of IS_FULL ? [0.3, 0.5, 0.6, 0.8, 0.84, 0.9, 0.99, 0.9999, 1.01] : [0.8, 0.999]) {
        for (const durationMs of DURATIONS_MS) {
          const world = createWorld(t, { lifetimeMs: () => lifetimeMs })
          await world.live(HOUR_MS)
          world.clock.skewMs = lifetimeMs * part
          await restart(world, START_MS + 2 * WEEK_MS, durationMs)
          const perWeek = lifetimeMs === LONG_MS ? RETRIES_PER_WEEK : SHORT_PER_WEEK
          assertFew(world, perWeek, `${part} of ${lifetimeMs / DAY_MS} days, restarts after ${durationMs}`)
        }
      }
    }
  },
)

test('storms: a clock that is set to and fro every hour, in service', TEST, async (t) => {
  for (const days of IS_FULL ? [0.3, 30, 44.9, 50] : [44.9]) {
    const world = createWorld(t)
    for (let hours = 1; hours < 24 * 14; hours++) {
      world.clock.at(START_MS + hours * HOUR_MS, () => (world.clock.skewMs = (hours % 2) * days * DAY_MS))
    }
    await world.live(2 * WEEK_MS)
    // While the clock is ahead by more than a lifetime, each new certificate has expired by it: retries, once a day.
    const perWeek = days * DAY_MS < LONG_MS ? MOST_PER_WEEK : RETRIES_PER_WEEK
    assertFew(world, perWeek, `${days} days to and fro`)
  }
})

test('storms: failing, a clock that is set to and fro every hour shortens no wait', TEST, async (t) => {
  const outages = [{ fromMs: START_MS + HOUR_MS, toMs: Infinity }]
  const world = createWorld(t, { outages })
  for (let hours = 1; hours < 24 * 14; hours++) {
    world.clock.at(
      START_MS + 29 * DAY_MS + hours * HOUR_MS,
      () => (world.clock.skewMs = (hours % 2) * 2 * DAY_MS),
    )
  }
  await world.live(34 * DAY_MS)
  assert.ok(world.attempts.length > 5)
  assertFew(world, RETRIES_PER_WEEK, 'failing')
})
