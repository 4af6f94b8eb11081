// Which end of a worker is a death, and which was planned.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitKind, ExitLog } from '../../src/workers/exit-log.ts'
import { NOT_WANTED } from '../../src/workers/plan.ts'
import { recordingLog } from '../support/recording-log.ts'

test('planned, cut, never started, crashed: told apart by stage, by who killed it and by its code', () => {
  const cases = [
    ['planned', { stage: 'draining', endReason: undefined, code: 0 }],
    ['planned', { stage: 'booting', endReason: NOT_WANTED, code: null }],
    ['cut', { stage: 'draining', endReason: 'drain time is over', code: null }],
    ['cut', { stage: 'draining', endReason: 'too many generations are draining', code: null }],
    ['cut', { stage: 'draining', endReason: 'too many generations are draining', code: 0 }],
    ['crashed', { stage: 'draining', endReason: undefined, code: 1 }],
    ['crashed', { stage: 'ready', endReason: undefined, code: null }],
    ['crashed', { stage: 'ready', endReason: 'silent for 10 s', code: null }],
    ['boot-failed', { stage: 'booting', endReason: undefined, code: 3 }],
    ['boot-failed', { stage: 'booting', endReason: 'did not become ready in time', code: null }],
  ] as const
  for (const [kind, worker] of cases) assert.equal(exitKind(worker), kind, JSON.stringify(worker))
})

const BORN_AT_MS = 1_000

function gone(overrides: Partial<Parameters<ExitLog['add']>[0]> = {}): Parameters<ExitLog['add']>[0] {
  const worker = { slot: 1, pid: 7, stage: 'ready', endReason: undefined, bornAtMs: BORN_AT_MS } as const
  return { ...worker, bootFailure: undefined, ...overrides }
}

test('an exit nobody asked for is an error, counts, and delays the next fork of its slot', () => {
  let nowMs = BORN_AT_MS + 10
  const log = recordingLog()
  const exits = new ExitLog({ nowMs: () => nowMs }, log)
  assert.equal(exits.add(gone(), { code: null, signal: 'SIGKILL' }, true), 'crashed')
  nowMs += 10
  assert.equal(
    exits.add(gone({ stage: 'booting', bornAtMs: nowMs }), { code: 3, signal: null }, true),
    'boot-failed',
  )
  exits.recordForkFailure(1)
  assert.equal(exits.inARow, 3)
  assert.equal(exits.unexpected, 2)
  assert.ok((exits.backoffs.get(1)?.retryAtMs ?? 0) > nowMs)
  const [killed] = log.lines
  assert.deepEqual([killed?.level, killed?.['reason']], ['error', 'killed: perhaps out of memory'])
})

test('an exit that was planned, cut or comes in a shutdown is no death of its slot', () => {
  const log = recordingLog()
  const exits = new ExitLog({ nowMs: () => BORN_AT_MS }, log)
  const done = { code: 0, signal: null }
  assert.equal(exits.add(gone({ stage: 'draining' }), done, true), 'planned')
  assert.equal(exits.add(gone({ stage: 'draining', endReason: 'too late' }), done, true), 'cut')
  assert.equal(exits.add(gone({ stage: 'booting', endReason: NOT_WANTED }), done, true), 'planned')
  assert.deepEqual([exits.unexpected, exits.inARow], [0, 0])
  assert.equal(exits.add(gone(), { code: 1, signal: null }, false), 'crashed')
  assert.equal(exits.unexpected, 0)
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['info', 'warn', 'debug', 'warn'],
  )
})
