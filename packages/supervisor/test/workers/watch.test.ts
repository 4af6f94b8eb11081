import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { paused, readWatch, resumed, WatchClock } from '../../src/workers/watch.ts'
import type { Watch } from '../../src/workers/watch.ts'

const START: Watch = { countedMs: 0, sinceMs: 0, untilMs: 0 }

test('a fork of a second, and a turn that comes a second late, count for nothing; what was waited for counts', () => {
  let nowMs = 1_000
  const clock = new WatchClock({ nowMs: () => nowMs })
  assert.equal(clock.nowMs(), 1_000)
  nowMs = 2_000
  assert.equal(clock.nowMs(), 1_000, 'paused until something is waited for')

  assert.equal(clock.resume(100), 2_100)
  nowMs = 2_060
  assert.equal(clock.nowMs(), 1_060, 'a message is stamped with the time it is read at')
  nowMs = 3_100
  clock.pause()
  assert.equal(clock.nowMs(), 1_100)

  nowMs = 4_100
  clock.resume(Infinity)
  nowMs = 4_150
  assert.equal(clock.nowMs(), 1_150)
})

test('a wait is never too short to count', () => {
  const watch = resumed({ countedMs: 1e12, sinceMs: 1e12, untilMs: 1e12 }, 1e12, 1e-9)
  assert.ok(readWatch(watch, watch.untilMs) > 1e12)
})

test('whatever the delays: exactly the time waited for is counted, and it never runs backwards or ahead', () => {
  const turn = fc.record({
    busyMs: fc.integer({ min: 0, max: 5_000 }),
    waitMs: fc.integer({ min: 1, max: 1_000 }),
    tookMs: fc.integer({ min: 0, max: 5_000 }),
  })
  fc.assert(
    fc.property(fc.array(turn), (turns) => {
      let watch = START
      let nowMs = 0
      let waitedMs = 0
      for (const { busyMs, waitMs, tookMs } of turns) {
        watch = paused(watch, nowMs)
        nowMs += busyMs
        assert.equal(readWatch(watch, nowMs), waitedMs)
        watch = resumed(watch, nowMs, waitMs)
        nowMs += tookMs
        waitedMs += Math.min(waitMs, tookMs)
        assert.equal(readWatch(watch, nowMs), waitedMs)
      }
      assert.ok(waitedMs <= nowMs)
    }),
  )
})
