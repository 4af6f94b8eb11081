import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { NO_BACKOFF, afterDeath } from '../src/workers/backoff.ts'
import type { Backoff } from '../src/workers/backoff.ts'
import { SILENCE_MS, planWorkers } from '../src/workers/plan.ts'
import type { Wanted, WorkerStage, WorkerView } from '../src/workers/plan.ts'

const NOW = 1_000_000
const running = (workers: number, generation = 1): Wanted => ({
  workers,
  generation,
  goodGenerations: new Set(),
  recycle: { maxRssBytes: undefined, maxAgeMs: undefined },
  running: true,
  holdsForks: false,
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
    lastBeatMs: NOW,
    bornAtMs: NOW - 3_600_000,
    rssBytes: 100_000_000,
    jitter: 0.5,
    accepting: true,
    killed: false,
    ...more,
  }
}

test('while it is found out why a worker could not start, none is forked; the others go on', () => {
  const fleet = [worker(1, 'ready', { generation: 1 }), worker(2, 'ready', { generation: 2 })]
  const wanted = { ...running(3, 2), holdsForks: true }
  assert.deepEqual(planWorkers(wanted, fleet, none, NOW).actions, [])
})

test('start: every slot is filled at once', () => {
  const { actions, wakeAtMs } = planWorkers(running(3), [], none, NOW)
  assert.deepEqual(
    actions,
    [1, 2, 3].map((slot) => ({ type: 'fork', slot, generation: 1 })),
  )
  assert.equal(wakeAtMs, undefined)
})

test('nothing to do: a ready fleet is left alone', () => {
  const fleet = [worker(1, 'ready'), worker(2, 'ready')]
  const wakeAtMs = NOW + SILENCE_MS
  assert.deepEqual(planWorkers(running(2), fleet, none, NOW), { actions: [], wakeAtMs })
})

test('a dead slot waits for its backoff, then is filled', () => {
  const backoffs = new Map([[2, { deaths: 3, retryAtMs: NOW + 200 }]])
  const fleet = [worker(1, 'ready')]
  assert.deepEqual(planWorkers(running(2), fleet, backoffs, NOW), { actions: [], wakeAtMs: NOW + 200 })
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

function cutOf(...fleet: readonly WorkerView[]): number[] {
  const { actions } = planWorkers(running(1, 9), fleet, none, NOW)
  return actions.flatMap((action) => (action.type === 'kill' ? [action.pid] : []))
}

test('two generations before the current one may drain; what drains of an older one is cut, counted as they live', () => {
  const ready = worker(1, 'ready', { pid: 900, generation: 9 })
  const drain = (generation: number): WorkerView => worker(1, 'draining', { pid: generation, generation })
  assert.deepEqual(cutOf(ready, drain(8), drain(7), drain(6), drain(5)), [6, 5])
  // Rolls that failed used up the numbers between.
  assert.deepEqual(cutOf(ready, drain(3), drain(1)), [])
  assert.deepEqual(cutOf(worker(1, 'ready', { generation: 4 }), drain(3), drain(1)), [1])
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
  const lastBeatMs = NOW - SILENCE_MS
  const fleet = [
    worker(1, 'ready', { lastBeatMs }),
    worker(2, 'draining', { lastBeatMs }),
    worker(3, 'booting', { lastBeatMs }),
    worker(4, 'ready', { lastBeatMs: lastBeatMs + 1 }),
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

test('stop: everything is drained, nothing is forked', () => {
  const fleet = [worker(1, 'ready'), worker(2, 'booting'), worker(3, 'draining')]
  const plan = planWorkers({ ...running(3), running: false }, fleet, none, NOW)
  assert.deepEqual(
    plan.actions.map((action) => action.type),
    ['drain', 'kill'],
  )
})

test('whatever the state: no slot ever gets two workers of one generation, and stopping never forks', () => {
  const stage = fc.constantFrom<WorkerStage>('booting', 'ready', 'draining')
  const anyWorker = fc.record({
    pid: fc.integer({ min: 2, max: 9_999 }),
    slot: fc.integer({ min: 1, max: 5 }),
    generation: fc.integer({ min: 1, max: 4 }),
    stage,
    deadlineMs: fc.integer({ min: NOW - 10, max: NOW + 10 }),
    lastBeatMs: fc.constant(NOW),
    bornAtMs: fc.constant(NOW - 1_000),
    rssBytes: fc.constant(0),
    jitter: fc.constant(0),
    accepting: fc.boolean(),
    killed: fc.boolean(),
  })
  const workers = fc.uniqueArray(anyWorker, { selector: (each) => each.pid, maxLength: 12 })
  fc.assert(
    fc.property(workers, fc.integer({ min: 1, max: 5 }), fc.boolean(), (fleet, count, isRunning) => {
      const { actions } = planWorkers({ ...running(count, 4), running: isRunning }, fleet, none, NOW)
      const forks = actions.filter((action) => action.type === 'fork')
      if (!isRunning) assert.equal(forks.length, 0)
      assert.equal(new Set(forks.map((fork) => fork.slot)).size, forks.length)
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
