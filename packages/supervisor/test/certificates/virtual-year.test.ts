// Virtual year: the real manager lives through years with a CA that is often away. What is asserted is
// what operators are promised: how much lifetime is left at a renewal, and how often certificates are ordered.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { IS_FULL } from '../../../../test/harness/size.ts'
import type { Random } from '../support/random.ts'
import { createRandom } from '../support/random.ts'
import type { Lived } from '../support/virtual-life.ts'
import { liveInThread } from '../support/virtual-life.ts'
import { DAY_MS, HOUR_MS, START_MS, VirtualWorld } from '../support/virtual-world.ts'

const TEST = { timeout: IS_FULL ? 600_000 : 120_000 }
const YEAR_MS = 365 * DAY_MS
/** A year of hours is 17,000 renewals: one is enough. */
const seedsFor = (lifetimeMs: number): number[] => (IS_FULL && lifetimeMs > DAY_MS ? [1, 2, 3, 4, 5] : [1])
/** Lifetimes lived through in the everyday run, at most. */
const FEW_LIFETIMES = 10
const WEEK_MS = 7 * DAY_MS
/** Let's Encrypt's, for the same names. */
const MOST_PER_WEEK = 5

/** Below ten days, and above: an everyday run does without the longest, which takes the longest, too. */
const LIFETIMES = [
  ['1 h', HOUR_MS],
  ['160 h', 160 * HOUR_MS],
  ['45 d', 45 * DAY_MS],
  ...(IS_FULL ? ([['90 d', 90 * DAY_MS]] as const) : []),
] as const

interface Life {
  /** Of the lifetime, when the next certificate was served. */
  readonly left: number
  /** Until when it would have served with a CA that is always there. */
  readonly idealMs: number
  readonly usedMs: number
}

function livesOf({ issued, servedFromMs }: Lived): Life[] {
  return issued.slice(0, -1).map(({ facts }, index) => {
    const replacedMs = servedFromMs.get(issued[index + 1]?.facts.serial ?? '') ?? Number.NaN
    const lifetimeMs = facts.notAfterMs - facts.notBeforeMs
    return {
      left: (facts.notAfterMs - replacedMs) / lifetimeMs,
      idealMs: lifetimeMs * (lifetimeMs < 10 * DAY_MS ? 1 / 2 : 2 / 3),
      usedMs: replacedMs - facts.notBeforeMs,
    }
  })
}

/** The promises; says how well they were kept. */
function assertKept(t: TestContext, world: Lived): void {
  const lives = livesOf(world)
  const leastLeft = Math.min(...lives.map(({ left }) => left))
  const ratio = sum(lives.map(({ idealMs }) => idealMs)) / sum(lives.map(({ usedMs }) => usedMs))
  const figures = [
    `${lives.length} renewals`,
    `${(100 * ratio).toFixed(1)} % of the ideal`,
    `least left ${leastLeft}`,
  ]
  t.diagnostic(figures.join(', '))
  assert.ok(leastLeft >= 1 / 6, 'a certificate was replaced with less than a sixth left')
  assert.ok(ratio <= 1.1, 'too many certificates')
}

function mostPerWeek({ issued }: Lived): number {
  const timesMs = issued.map(({ obtainedMs }) => obtainedMs)
  return Math.max(
    ...timesMs.map((endMs) => timesMs.filter((timeMs) => timeMs > endMs - WEEK_MS && timeMs <= endMs).length),
  )
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

for (const [name, lifetimeMs] of LIFETIMES) {
  const title = `virtual year, ${name}: the CA is away for 30 % of the time, yet a sixth of the lifetime is always left, and no more than 110 % of the ideal is ordered`
  test(title, TEST, async (t) => {
    const durationMs = IS_FULL ? YEAR_MS : Math.min(YEAR_MS / 4, FEW_LIFETIMES * lifetimeMs)
    for (const seed of seedsFor(lifetimeMs)) {
      const longestOutageMs = lifetimeMs / 6
      const world = await liveInThread({ seed, durationMs, lifetimesMs: [lifetimeMs], longestOutageMs })
      assertKept(t, world)
      if (lifetimeMs > DAY_MS) assert.ok(mostPerWeek(world) <= MOST_PER_WEEK)
    }
  })
}

test('virtual year, another lifetime with each order: the same holds', TEST, async (t) => {
  const durationMs = IS_FULL ? YEAR_MS : YEAR_MS / 6
  for (const seed of seedsFor(YEAR_MS)) {
    const lifetimesMs = LIFETIMES.map(([, lifetimeMs]) => lifetimeMs)
    const world = await liveInThread({ seed, durationMs, lifetimesMs, longestOutageMs: HOUR_MS / 6 })
    assertKept(t, world)
  }
})

test(
  'virtual year, outages that outlast the margin: renewed at the first attempt after the CA is back',
  TEST,
  async (t) => {
    for (const [, lifetimeMs] of LIFETIMES) {
      for (const seed of seedsFor(lifetimeMs)) {
        const random = createRandom(seed)
        // From before the renewal is due until somewhere between the margin and half a lifetime after expiry.
        const outages = [
          { fromMs: START_MS + HOUR_MS / 60, toMs: START_MS + lifetimeMs * (0.8 + 0.7 * random()) },
        ]
        const world = new VirtualWorld(t, {
          random,
          lifetimeMs: () => lifetimeMs,
          outages,
          suggest: () => '',
        })
        await world.live((outages[0]?.toMs ?? 0) - START_MS + Math.min(2 * DAY_MS, lifetimeMs / 4))
        const backMs = outages[0]?.toMs ?? Number.NaN
        const since = world.attempts.filter(({ atMs }) => atMs >= backMs)
        assert.deepEqual(
          since.map(({ isIssued }) => isIssued),
          [true],
        )
      }
    }
  },
)

/** Without renewal information the time depends on the first serial alone: with this one it is the latest of all. */
function createLatest(): Random {
  const draws = [0]
  const others = createRandom(11)
  return () => draws.shift() ?? others()
}

test(
  'virtual year, the worst outage: a sixth of the lifetime from just before the renewal is due still leaves a sixth',
  TEST,
  async (t) => {
    for (const [name, lifetimeMs] of LIFETIMES) {
      const options = { lifetimeMs: () => lifetimeMs, suggest: () => undefined }
      const calm = new VirtualWorld(t, { ...options, random: createLatest(), outages: [] })
      await calm.live(lifetimeMs * 0.68)
      const dueMs = calm.attempts[1]?.atMs ?? Number.NaN
      const outages = [{ fromMs: dueMs - 1, toMs: dueMs + lifetimeMs / 6 }]
      const world = new VirtualWorld(t, { ...options, random: createLatest(), outages })
      await world.live(dueMs - START_MS + lifetimeMs / 5)
      const [life] = livesOf(world)
      t.diagnostic(`${name}: ${life?.left} left`)
      assert.equal(world.attempts.find(({ isIssued, atMs }) => !isIssued && atMs >= dueMs)?.atMs, dueMs)
      assert.ok((life?.left ?? 0) >= 1 / 6)
    }
  },
)
