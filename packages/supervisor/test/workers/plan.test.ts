import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  NO_BACKOFF,
  afterDeath,
  type Backoff,
  type WorkerStage,
  type WorkerView,
} from '../../src/workers/worker-view.ts'
import { SILENCE_MS, planWorkers } from '../../src/workers/plan.ts'
import type { Wanted } from '../../src/workers/plan.ts'

const NOW = 1_000_000
const running = (workers: number, generation = 1): Wanted => ({
  workers,
  generation,
  sinceMs: NOW - 1_000,
  goodGenerations: new Set(),
  recycle: { maxRssBytes: undefined, maxAgeMs: undefined },
  running: true,
  forksSuspended: false,
  bootsAtOnce: 4,
})
const none: ReadonlyMap<number, Backoff> = new Map()

function worker(slot: number, stage: WorkerStage, more: Partial<WorkerView> = {}): WorkerView {
  const deadlineMs = stage === 'ready' ? Infinity : NOW + 5_000
  return {
    pid: 100 + slot,
    slot,
    generation: 1,
    stage,
    deadlineMs,
    lastHeartbeatMs: NOW,
    bornAtMs: NOW - 3_600_000,
    rssBytes: 100_000_000,
    jitter: 0.5,
    accepting: true,
    started: true,
    wasCut: false,
    killed: false,
    ...more,
  }
}

test('while it is found out why a worker could not start, none is forked; the others go on', () => {
  const fleet = [worker(1, 'ready', { generation: 1 }), worker(2, 'ready', { generation: 2 })]
  const wanted = { ...running(3, 2), forksSuspended: true }
  assert.deepEqual(planWorkers(wanted, fleet, none, NOW).actions, [])
})

test('start: one fork at a time, and no more workers boot at once than there are processors', () => {
  const fleet: WorkerView[] = []
  const wanted = { ...running(4), bootsAtOnce: 2 }
  for (const slot of [1, 2]) {
    const { actions } = planWorkers(wanted, fleet, none, NOW)
    assert.deepEqual(actions, [{ type: 'fork', slot, generation: 1 }])
    fleet.push(worker(slot, 'booting', { started: false }))
  }
  const full = planWorkers(wanted, fleet, none, NOW)
  assert.deepEqual([full.actions, full.wakeAtMs], [[], NOW + 5_000])
  const killed = fleet.map((each) => ({ ...each, killed: true }))
  assert.deepEqual(planWorkers(wanted, killed, none, NOW).actions, [], 'one that has not exited counts')

  fleet[0] = worker(1, 'ready')
  assert.deepEqual(planWorkers(wanted, fleet, none, NOW).actions, [{ type: 'fork', slot: 3, generation: 1 }])
})

test('a start, simulated: every slot is filled, and never do more boot than may, whatever the order they are ready in', () => {
  const picks = fc.infiniteStream(fc.nat())
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 8 }),
      picks,
      (count, bootsAtOnce, order) => {
        const wanted = { ...running(count), bootsAtOnce }
        const fleet: WorkerView[] = []
        for (let turn = 0; turn < 4 * count; turn++) {
          const { actions } = planWorkers(wanted, fleet, none, NOW)
          assert.ok(actions.length <= 1)
          for (const action of actions)
            if (action.type === 'fork') fleet.push(worker(action.slot, 'booting', { started: false }))
          const booting = fleet.filter(({ stage }) => stage === 'booting')
          assert.ok(booting.length <= bootsAtOnce)
          const next = booting[(order.next().value ?? 0) % booting.length]
          const mayGoOn = actions.length === 0 || (order.next().value ?? 0) % 2 === 0
          if (next !== undefined && mayGoOn) fleet[fleet.indexOf(next)] = worker(next.slot, 'ready')
        }
        assert.equal(fleet.filter(({ stage }) => stage === 'ready').length, count)
      },
    ),
  )
})

test('nothing to do: a ready fleet is left alone', () => {
  const fleet = [worker(1, 'ready'), worker(2, 'ready')]
  const wakeAtMs = NOW + SILENCE_MS
  assert.deepEqual(planWorkers(running(2), fleet, none, NOW), { actions: [], wakeAtMs, awaited: [] })
})

test('a dead slot waits for its backoff, then is filled', () => {
  const backoffs = new Map([[2, { deaths: 3, retryAtMs: NOW + 200 }]])
  const fleet = [worker(1, 'ready')]
  assert.equal(planWorkers(running(2), fleet, backoffs, NOW).wakeAtMs, NOW + 200)
  assert.deepEqual(planWorkers(running(2), fleet, backoffs, NOW).actions, [])
  assert.deepEqual(planWorkers(running(2), fleet, backoffs, NOW + 200).actions, [
    { type: 'fork', slot: 2, generation: 1 },
  ])
})

test('roll: one fresh worker boots at a time, and the next waits until the predecessor accepts nothing more', () => {
  const old = [worker(1, 'ready'), worker(2, 'ready')]
  assert.deepEqual(planWorkers(running(2, 2), old, none, NOW).actions, [
    { type: 'fork', slot: 1, generation: 2 },
  ])

  const booting = worker(1, 'booting', { pid: 201, generation: 2 })
  assert.deepEqual(planWorkers(running(2, 2), [...old, booting], none, NOW).actions, [])

  const ready = worker(1, 'ready', { pid: 201, generation: 2 })
  const second = worker(2, 'ready')
  assert.deepEqual(planWorkers(running(2, 2), [...old, ready], none, NOW).actions, [
    { type: 'drain', pid: 101 },
  ])
  const closing = worker(1, 'draining')
  assert.deepEqual(planWorkers(running(2, 2), [closing, second, ready], none, NOW).actions, [])
  const draining = worker(1, 'draining', { accepting: false })
  assert.deepEqual(planWorkers(running(2, 2), [draining, second, ready], none, NOW).actions, [
    { type: 'fork', slot: 2, generation: 2 },
  ])
})

test('recycling: who has grown or aged is replaced in its slot, one at a time, and its successor is left alone', () => {
  const wanted: Wanted = { ...running(2), recycle: { maxRssBytes: 99_000_000, maxAgeMs: undefined } }
  const fleet = [worker(1, 'ready'), worker(2, 'ready')]
  assert.deepEqual(planWorkers(wanted, fleet, none, NOW).actions, [{ type: 'fork', slot: 1, generation: 1 }])

  const successor = worker(1, 'ready', { pid: 201, bornAtMs: NOW - 1_000 })
  const { actions, wakeAtMs } = planWorkers(wanted, [...fleet, successor], none, NOW)
  assert.deepEqual(actions, [{ type: 'drain', pid: 101 }])
  assert.equal(wakeAtMs, NOW + SILENCE_MS)

  const byAge: Wanted = { ...running(2), recycle: { maxRssBytes: undefined, maxAgeMs: 3_600_000 } }
  const young = worker(2, 'ready', { bornAtMs: NOW - 3_400_000 })
  assert.deepEqual(planWorkers(byAge, [worker(1, 'ready'), young], none, NOW).actions, [
    { type: 'fork', slot: 1, generation: 1 },
  ])
  // Nothing that lasts less than a minute: a limit below what a worker needs must not become a loop.
  const justBorn = worker(1, 'ready', { bornAtMs: NOW - 59_999 })
  assert.deepEqual(
    planWorkers(wanted, [justBorn, worker(2, 'ready', { bornAtMs: NOW })], none, NOW).actions,
    [],
  )
  assert.deepEqual(planWorkers(running(2), fleet, none, NOW).actions, [])
})

test('a roll that failed: who is of a good generation stays, who has the failed one is replaced', () => {
  const wanted: Wanted = { ...running(2, 3), goodGenerations: new Set([1]) }
  const fleet = [worker(1, 'ready', { generation: 2 }), worker(2, 'ready')]
  assert.deepEqual(planWorkers(wanted, fleet, none, NOW).actions, [{ type: 'fork', slot: 1, generation: 3 }])
})

const drains = (generation: number, more: Partial<WorkerView> = {}): WorkerView =>
  worker(1, 'draining', { pid: generation, generation, accepting: false, ...more })

test('a roll that would make a third old generation waits for the oldest to end, and then goes on', () => {
  const serving = worker(1, 'ready', { pid: 3, generation: 3 })
  const waiting = planWorkers(running(1, 4), [serving, drains(2), drains(1)], none, NOW)
  assert.deepEqual(waiting.actions, [])
  assert.deepEqual(waiting.awaited, [1])
  // Its own deadline bounds the waiting.
  assert.equal(waiting.wakeAtMs, NOW + 5_000)

  const { actions, awaited } = planWorkers(running(1, 4), [serving, drains(2)], none, NOW)
  assert.deepEqual(actions, [{ type: 'fork', slot: 1, generation: 4 }])
  assert.deepEqual(awaited, [])
})

test('it waits for 30 s: then the oldest are cut, once, and killed if they do not end', () => {
  const serving = worker(1, 'ready', { pid: 3, generation: 3 })
  const sinceMs = NOW - 29_999
  const oldest = drains(1, { deadlineMs: NOW + 3_600_000 })
  const wanted = { ...running(1, 4), sinceMs }
  const fleet = [serving, drains(2, { deadlineMs: NOW + 3_600_000 }), oldest]
  const waiting = planWorkers(wanted, fleet, none, NOW)
  assert.deepEqual([waiting.actions, waiting.wakeAtMs], [[], NOW + 1])
  const reason = 'too many generations are draining'
  assert.deepEqual(planWorkers(wanted, fleet, none, NOW + 1).actions, [{ type: 'cut', pid: 1, reason }])

  const goesAway = [serving, drains(2), { ...oldest, wasCut: true, deadlineMs: NOW + 1_500 }]
  const { actions, wakeAtMs } = planWorkers(wanted, goesAway, none, NOW + 1)
  assert.deepEqual([actions, wakeAtMs], [[], NOW + 1_500])
  assert.deepEqual(planWorkers(wanted, goesAway, none, NOW + 1_500).actions, [
    { type: 'kill', pid: 1, reason: 'drain time is over' },
  ])
})

test('while a roll waits: an empty slot is filled nevertheless, and a shutdown cuts nobody', () => {
  const serving = worker(2, 'ready', { pid: 3, generation: 3 })
  const fleet = [serving, drains(2), drains(1)]
  const wanted = { ...running(2, 4), sinceMs: NOW - 60_000 }
  assert.deepEqual(planWorkers({ ...wanted, sinceMs: NOW }, fleet, none, NOW).actions, [
    { type: 'fork', slot: 1, generation: 4 },
  ])
  assert.deepEqual(planWorkers({ ...wanted, running: false }, fleet, none, NOW).actions, [
    { type: 'drain', pid: 3 },
  ])
})

function serves(generation: number, slot = 1): WorkerView {
  return worker(slot, 'ready', { pid: 100 * generation, generation })
}

function awaitedBy(...old: readonly WorkerView[]): readonly number[] {
  return planWorkers(running(1, 9), old, none, NOW).awaited
}

test('generations are counted as they live, and one that serves is never waited for', () => {
  assert.deepEqual(awaitedBy(serves(8), drains(7), drains(6), drains(5)), [6, 5])
  // Rolls that failed used up the numbers between.
  assert.deepEqual(awaitedBy(serves(8), drains(3)), [])
  assert.deepEqual(awaitedBy(serves(4), drains(3), drains(1)), [1])
  // What rolls that failed have left behind: it goes with the roll, which therefore must not wait for it.
  assert.deepEqual(awaitedBy(serves(8), serves(1, 2), drains(7)), [7])
  assert.deepEqual(awaitedBy(serves(8), serves(1, 2)), [])
})

test('deadlines: a worker that does not become ready, or does not end its drain, is killed', () => {
  const fleet = [worker(1, 'booting', { deadlineMs: NOW }), worker(2, 'draining', { deadlineMs: NOW - 1 })]
  const killed = planWorkers(running(2), fleet, none, NOW).actions.filter((action) => action.type === 'kill')
  assert.deepEqual(
    killed.map((action) => action.pid),
    [101, 102],
  )
})

test('a worker that says nothing for 10 s is killed, whether it serves or drains; one that boots has its own deadline', () => {
  const lastHeartbeatMs = NOW - SILENCE_MS
  const fleet = [
    worker(1, 'ready', { lastHeartbeatMs }),
    worker(2, 'draining', { lastHeartbeatMs }),
    worker(3, 'booting', { lastHeartbeatMs }),
    worker(4, 'ready', { lastHeartbeatMs: lastHeartbeatMs + 1 }),
  ]
  const { actions, wakeAtMs } = planWorkers(running(4), fleet, none, NOW)
  const reason = 'silent for 10 s'
  assert.deepEqual(actions.slice(0, 2), [
    { type: 'kill', pid: 101, reason },
    { type: 'kill', pid: 102, reason },
  ])
  assert.equal(actions.filter((action) => action.type === 'kill').length, 2)
  assert.equal(wakeAtMs, NOW + 1)
})

test('stop: everything is drained, nothing is forked; who has bound nothing yet is not waited for', () => {
  const unbound = worker(4, 'booting', { started: false })
  const fleet = [worker(1, 'ready'), worker(2, 'booting'), worker(3, 'draining'), unbound]
  assert.deepEqual(planWorkers({ ...running(4), running: false }, fleet, none, NOW).actions, [
    { type: 'drain', pid: 101 },
    { type: 'drain', pid: 102 },
    { type: 'kill', pid: 104, reason: 'not wanted any more' },
  ])
})

test('whatever the state: no slot ever gets two workers of one generation, and stopping never forks', () => {
  const stage = fc.constantFrom<WorkerStage>('booting', 'ready', 'draining')
  const anyWorker = fc.record({
    pid: fc.integer({ min: 2, max: 9_999 }),
    slot: fc.integer({ min: 1, max: 5 }),
    generation: fc.integer({ min: 1, max: 4 }),
    stage,
    deadlineMs: fc.integer({ min: NOW - 10, max: NOW + 10 }),
    lastHeartbeatMs: fc.constant(NOW),
    bornAtMs: fc.constant(NOW - 1_000),
    rssBytes: fc.constant(0),
    jitter: fc.constant(0),
    accepting: fc.boolean(),
    started: fc.boolean(),
    wasCut: fc.boolean(),
    killed: fc.boolean(),
  })
  const workers = fc.uniqueArray(anyWorker, { selector: (each) => each.pid, maxLength: 12 })
  fc.assert(
    fc.property(workers, fc.integer({ min: 1, max: 5 }), fc.boolean(), (fleet, count, isRunning) => {
      const { actions } = planWorkers({ ...running(count, 4), running: isRunning }, fleet, none, NOW)
      const forks = actions.filter((action) => action.type === 'fork')
      assert.ok(forks.length <= (isRunning ? 1 : 0))
      for (const { slot } of forks) {
        assert.ok(slot <= count)
        const twin = fleet.some(
          (w) => w.slot === slot && w.generation === 4 && !w.killed && w.stage !== 'draining',
        )
        assert.ok(!twin)
      }
    }),
  )
})

test('backoff: at once, then 0.1 s doubling to 30 s, forgotten after a healthy minute', () => {
  let backoff = NO_BACKOFF
  const delays: number[] = []
  for (let death = 0; death < 12; death++) {
    backoff = afterDeath(backoff, NOW, NOW + 10)
    delays.push(backoff.retryAtMs - NOW - 10)
  }
  assert.deepEqual(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
  assert.deepEqual(afterDeath(backoff, NOW, NOW + 60_000), { deaths: 1, retryAtMs: NOW + 60_000 })
})
