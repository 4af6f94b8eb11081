// A caller that asked for fresh or more workers learns when the last one is ready, or why not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RollingRestart } from '../../src/workers/rolling-restart.ts'
import { recordingLog } from '../support/recording-log.ts'

const rollsAt = (nowMs: number, log = recordingLog()): RollingRestart =>
  new RollingRestart({ nowMs: () => nowMs }, log)
const ignore = (): void => {}
const failure = new Error('it cannot start')

test('a roll wants a new generation from now on, and nobody of an older one', async () => {
  const rolls = rollsAt(5_000)
  const done = rolls.roll(ignore)
  assert.deepEqual(rolls.wanted, { generation: 2, sinceMs: 5_000, goodGenerations: new Set() })
  rolls.succeed()
  await done
})

test('a roll that failed: the older ones may stay, its own are replaced; one of an older generation fails no roll', async () => {
  const rolls = rollsAt(0)
  const done = rolls.roll(ignore)
  rolls.fail(1, new Error('of the generation before'))
  rolls.fail(2, failure)
  await assert.rejects(done, failure)
  assert.deepEqual(rolls.wanted, { generation: 3, sinceMs: 0, goodGenerations: new Set([1]) })
})

test('more workers are of the generation that there is, and fail alone', async () => {
  const rolls = rollsAt(0)
  const filled = rolls.fill(ignore)
  rolls.succeed()
  await filled
  const failed = rolls.fill(ignore)
  rolls.fail(1, failure)
  await assert.rejects(failed, failure)
  assert.equal(rolls.wanted.generation, 1)
  // Nobody waits: that a worker cannot start is the log's to say.
  rolls.fail(1, failure)
})
