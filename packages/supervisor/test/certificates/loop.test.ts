// The background loop of a certificate, and whoever watches that it turns; on a clock that the test moves.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { RenewalLoop } from '../../src/certificates/renewal/loop.ts'
import type { LoopView } from '../../src/certificates/manager.ts'
import { RenewalWatch } from '../../src/certificates/renewal/watch.ts'
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
  assert.equal(loop.isDead, false)
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
  assert.equal(loop.isDead, false)
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
  assert.equal(loop.isDead, false)
})

function watch(t: TestContext, loops: Readonly<Record<string, LoopView>>) {
  const clock = new ManualClock()
  const log = recordingLog()
  const watching = new RenewalWatch({ clock, log, loops: () => Object.entries(loops) })
  watching.start()
  t.after(async () => await watching.close())
  return { clock, log, watching }
}

const WELL = { isDead: false, busyForMs: undefined, lateByMs: 0 }

test('a renewal that is dead, overdue or stuck raises one alarm each, and nothing else does', async (t) => {
  const { clock, log, watching } = watch(t, {
    well: WELL,
    ordering: { ...WELL, busyForMs: 90 * MINUTE_MS },
    late: { ...WELL, lateByMs: 4 * MINUTE_MS },
    dead: { ...WELL, isDead: true },
    overdue: { ...WELL, lateByMs: 6 * MINUTE_MS },
    stuck: { ...WELL, busyForMs: 3 * HOUR_MS },
  })
  await clock.advance(10 * MINUTE_MS)
  assert.deepEqual(
    log.lines.map(({ level, event, listener, status }) => [level, event, listener, status]),
    ['dead', 'overdue', 'stuck'].map((name) => ['error', 'CERT_RENEWAL_ALARM', name, name]),
  )
  for (const { error } of log.lines) assert.match(String(error), /restart the proxy/u)
  assert.equal(watching.alarmOf('stuck'), 'stuck')
  assert.equal(watching.alarmOf('ordering'), undefined)
})

test('the alarm ends when the loop turns again', async (t) => {
  const loops: Record<string, LoopView> = { a: { ...WELL, lateByMs: HOUR_MS } }
  const { clock, log, watching } = watch(t, loops)
  await clock.advance(5 * MINUTE_MS)
  assert.equal(watching.alarmOf('a'), 'overdue')
  loops['a'] = WELL
  await clock.advance(MINUTE_MS)
  assert.equal(watching.alarmOf('a'), undefined)
  assert.deepEqual(
    log.lines.map(({ status }) => status),
    ['overdue', 'over'],
  )
})

test('a machine that wakes up from a night of sleep raises no alarm: its loop needs a moment', async (t) => {
  const { clock, loop, turns } = startLoop(t, { nextMs: (nowMs) => nowMs + HOUR_MS })
  const log = recordingLog()
  const watching = new RenewalWatch({ clock, log, loops: () => [['a', loop]] })
  watching.start()
  t.after(async () => await watching.close())
  await clock.advance(50 * SECOND_MS)
  clock.jump(8 * HOUR_MS)
  await clock.advance(5 * MINUTE_MS)
  assert.equal(turns.length, 1)
  assert.deepEqual(log.lines, [])
})

test('a loop whose clock breaks is dead, and that raises the alarm', async (t) => {
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
  assert.equal(loop.isDead, true)
  const watching = new RenewalWatch({ clock, log, loops: () => [['a', loop]] })
  watching.start()
  t.after(async () => await watching.close())
  await clock.advance(2 * MINUTE_MS)
  assert.deepEqual(
    log.lines.map(({ event, status }) => [event, status]),
    [
      ['INTERNAL_ERROR', undefined],
      ['CERT_RENEWAL_ALARM', 'dead'],
    ],
  )
})
