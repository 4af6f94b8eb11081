// Frames with structure, cut anywhere: valid ones, broken ones and noise, in any order, while responses go out and the
// client reads or does not. Whatever comes, the session neither throws nor breaks a rule itself, and keeps nothing.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { buffers } from '../../../src/io/buffer-pool.ts'
import { Sender } from '../../../src/protocol/http2/streams/sender.ts'
import { IS_FULL } from '../../../../../test/harness/size.ts'
import { Chance } from '../../fuzz/chance.ts'
import { holdConversation } from './fuzz-conversation.ts'

/** Of each in its own connection. */
const FRAMES = IS_FULL ? 2_000_000 : 20_000
const SEED = 20_260_707
const TIMEOUT = { timeout: IS_FULL ? 3_600_000 : 120_000 }

/** Buffers taken and not given back. */
function countLent(t: TestContext): () => number {
  let lent = 0
  const take = buffers.take.bind(buffers)
  const give = buffers.give.bind(buffers)
  t.mock.method(buffers, 'take', () => {
    lent += 1
    return take()
  })
  t.mock.method(buffers, 'give', (buffer: Buffer) => {
    lent -= 1
    buffer.fill(0xdd)
    give(buffer)
  })
  return () => lent
}

test(`${FRAMES} frames: no rule is broken by us, and nothing is left`, TIMEOUT, async (t) => {
  const lent = countLent(t)
  const endings = { fault: 0, finished: 0, gone: 0 }
  let requests = 0
  const faults = new Set<number | undefined>()
  for (let frames = 0, seed = SEED; frames < FRAMES; seed++) {
    const outcome = await holdConversation(new Chance(seed))
    assert.deepEqual(outcome.findings, [], `seed ${seed}`)
    assert.equal(lent(), 0, `seed ${seed}`)
    frames += outcome.frames
    requests += outcome.requests
    endings[outcome.ending] += 1
    faults.add(outcome.fault)
  }
  // It has been everywhere.
  assert.ok(requests > FRAMES / 50, `${requests} requests`)
  assert.ok(Math.min(...Object.values(endings)) > 0, JSON.stringify(endings))
  for (const code of [1, 3, 5, 6, 9]) assert.ok(faults.has(code), `never ${code}`)
  t.diagnostic(`${requests} requests, ${JSON.stringify(endings)}`)
})

test('a planted fault is found: a window that is not spent', TIMEOUT, async (t) => {
  const sendData = Reflect.get(Sender.prototype, 'sendData')
  t.mock.method(
    Sender.prototype,
    'sendData',
    function (this: Sender, ...args: Parameters<Sender['sendData']>): void {
      Reflect.apply(sendData, this, args)
      this.window += args[3] - args[2]
    },
  )
  for (let seed = SEED; seed < SEED + 300; seed++) {
    const { findings } = await holdConversation(new Chance(seed))
    if (findings.some((finding) => finding.includes('more than the window'))) return
  }
  assert.fail('not found')
})
