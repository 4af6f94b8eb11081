// The background loop of a certificate, and the alarm when it no longer turns; on a clock that the test moves.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { RenewalLoop } from '../../src/certificates/renewal/loop.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { recordingLog } from '../support/recording-log.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS

interface Scene {
  readonly clock: ManualClock
  readonly loop: RenewalLoop
  readonly log: ReturnType<typeof recordingLog>
  /** What each turn was told, and when (ms since the start). */
  readonly turns: (readonly [atMs: number, demanded: boolean])[]
  readonly stop: AbortController
  readonly ended: Promise<void>
}

function startLoop(
  t: TestContext,
  work: { nextMs?: (nowMs: number) => number; turn?: (demanded: boolean) => Promise<boolean> },
): Scene {
  const clock = new ManualClock()
  const startMs = clock.nowMs()
  const log = recordingLog()
  const stop = new AbortController()
  const turns: [number, boolean][] = []
  const loop = new RenewalLoop(
    {
      listenerId: 'listener',
      clock,
      log,
      nextMs: () => work.nextMs?.(clock.nowMs()) ?? Infinity,
      turn: async (demanded) => {
        turns.push([clock.nowMs() - startMs, demanded])
        return (await work.turn?.(demanded)) ?? true
      },
    },
    stop.signal,
  )
  const ended = loop.run()
  t.after(() => stop.abort())
  return { clock, loop, log, turns, stop, ended }
}

test('what is due is done when it is due, again and again', async (t) => {
  const { clock, turns } = startLoop(t, { nextMs: (nowMs) => nowMs + HOUR_MS })
  await clock.advance(3.5 * HOUR_MS)
  assert.deepEqual(
    turns,
    [1, 2, 3].map((hours) => [hours * HOUR_MS, false]),
  )
})

test('a demand is met at once; what is due later is not forgotten', async (t) => {
  const { clock, loop, turns } = startLoop(t, { nextMs: (nowMs) => nowMs + HOUR_MS })
  await clock.advance(MINUTE_MS)
  await loop.demand()
  await clock.advance(HOUR_MS)
  assert.deepEqual(turns, [
    [MINUTE_MS, true],
    [HOUR_MS + MINUTE_MS, false],
  ])
})

test('demands while an attempt is under way are met by that attempt', async (t) => {
  const attempt = Promise.withResolvers<boolean>()
  const { clock, loop, turns } = startLoop(t, { turn: async () => await attempt.promise })
  await clock.advance(0)
  const demands = [loop.demand(), loop.demand()]
  await clock.advance(0)
  demands.push(loop.demand())
  attempt.resolve(true)
  await Promise.all(demands)
  assert.deepEqual(turns, [[0, true]])
})

test('a demand that comes while something else is done gets an attempt of its own', async (t) => {
  const something = Promise.withResolvers<boolean>()
  const { clock, loop, turns } = startLoop(t, {
    nextMs: (nowMs) => nowMs + MINUTE_MS,
    turn: async (demanded) => demanded || (await something.promise),
  })
  await clock.advance(MINUTE_MS)
  const demand = loop.demand()
  something.resolve(false)
  await demand
  assert.deepEqual(turns, [
    [MINUTE_MS, false],
    [MINUTE_MS, true],
  ])
})

test('a failed attempt is the answer to whoever demanded it, and the loop goes on', async (t) => {
  const { clock, loop, turns } = startLoop(t, {
    turn: async () => {
      throw new Error('no')
    },
  })
  await clock.advance(0)
  await assert.rejects(loop.demand(), /^Error: no$/u)
  await assert.rejects(loop.demand(), /^Error: no$/u)
  assert.equal(turns.length, 2)
  assert.equal(loop.alarm, undefined)
})

test('an attempt that fails without putting off the next is not repeated at full speed', async (t) => {
  const { clock, turns } = startLoop(t, {
    nextMs: () => 0,
    turn: async () => {
      throw new Error('no')
    },
  })
  await clock.advance(10 * SECOND_MS)
  assert.ok(turns.length >= 2 && turns.length <= 11, String(turns.length))
})

test('when it is closed, demands are refused, and it has not died', async (t) => {
  const { clock, loop, stop, ended, log } = startLoop(t, { turn: async () => await new Promise(() => {}) })
  await clock.advance(0)
  stop.abort(new Error('closing'))
  await ended
  await assert.rejects(loop.demand(), /closing/u)
  assert.equal(loop.alarm, undefined)
  assert.deepEqual(log.lines, [])
})

test('not knowing when something is due is logged, and asked again a minute later', async (t) => {
  const { clock, log, loop } = startLoop(t, {
    nextMs: () => {
      throw new Error('a bug')
    },
    turn: async () => false,
  })
  await clock.advance(2.5 * MINUTE_MS)
  assert.deepEqual(
    log.lines.map(({ event }) => event),
    ['INTERNAL_ERROR', 'INTERNAL_ERROR', 'INTERNAL_ERROR'],
  )
  assert.equal(loop.alarm, undefined)
})

test('a loop that sleeps until something is due, or orders for an hour, raises no alarm', async (t) => {
  const attempt = Promise.withResolvers<boolean>()
  const { clock, loop } = startLoop(t, {
    nextMs: (nowMs) => nowMs + HOUR_MS,
    turn: async () => await attempt.promise,
  })
  assert.equal(loop.alarm, undefined)
  await clock.advance(2.5 * HOUR_MS)
  assert.equal(loop.alarm, undefined)
})

test('a turn that takes hours is stuck, and no longer once it has ended', async (t) => {
  const attempt = Promise.withResolvers<boolean>()
  const { clock, loop } = startLoop(t, {
    nextMs: (nowMs) => nowMs + HOUR_MS,
    turn: async () => await attempt.promise,
  })
  await clock.advance(4 * HOUR_MS)
  assert.equal(loop.alarm, 'stuck')
  attempt.resolve(true)
  await clock.advance(0)
  assert.equal(loop.alarm, undefined)
})

test('a loop that is not woken when something is due is overdue', async () => {
  let nowMs = 0
  const clock = {
    nowMs: () => nowMs,
    timerMs: () => nowMs,
    sleep: async (_delayMs: number, signal: AbortSignal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    },
  }
  const stop = new AbortController()
  const log = recordingLog()
  const work = { listenerId: 'a', clock, log, nextMs: () => HOUR_MS, turn: async () => true }
  const loop = new RenewalLoop(work, stop.signal)
  const ended = loop.run()
  nowMs = HOUR_MS + 4 * MINUTE_MS
  assert.equal(loop.alarm, undefined)
  nowMs = HOUR_MS + 6 * MINUTE_MS
  assert.equal(loop.alarm, 'overdue')
  stop.abort()
  await ended
})

test('a machine that wakes up from a night of sleep raises no alarm: its loop needs a moment', async (t) => {
  const { clock, loop, turns } = startLoop(t, { nextMs: (nowMs) => nowMs + HOUR_MS })
  await clock.advance(50 * SECOND_MS)
  clock.jump(8 * HOUR_MS)
  assert.equal(loop.alarm, undefined)
  await clock.advance(5 * MINUTE_MS)
  assert.equal(loop.alarm, undefined)
  assert.equal(turns.length, 1)
})

test('a loop whose clock breaks is dead, which is logged and raises the alarm', async () => {
  const clock = new ManualClock()
  const stop = new AbortController()
  const log = recordingLog()
  const broken = {
    nowMs: (): number => {
      throw new Error('no time')
    },
    timerMs: () => clock.timerMs(),
    sleep: async (delayMs: number, signal: AbortSignal) => await clock.sleep(delayMs, signal),
  }
  const loop = new RenewalLoop(
    { listenerId: 'a', clock: broken, log, nextMs: () => 0, turn: async () => true },
    stop.signal,
  )
  await loop.run()
  assert.equal(loop.alarm, 'dead')
  assert.deepEqual(
    log.lines.map(({ event }) => event),
    ['INTERNAL_ERROR'],
  )
})
