// Which end of a worker is a death, and which was planned.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exitKind } from '../src/workers/exit-log.ts'
import { NOT_WANTED } from '../src/workers/plan.ts'

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
