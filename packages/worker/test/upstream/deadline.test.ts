// A deadline that is set again and again: it holds from the last time on, whether that is later or sooner.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Deadline } from '../../src/upstream/connections/deadline.ts'

test('a deadline expires once, its time after it was last set', async () => {
  const startMs = performance.now()
  let expiries = 0
  const expiredMs = await new Promise<number>((resolve) => {
    const deadline = new Deadline(() => {
      expiries += 1
      resolve(performance.now())
    })
    deadline.set(1_000)
    setTimeout(() => deadline.set(1_000), 500)
  })
  assert.ok(expiredMs - startMs >= 1_490, `after ${expiredMs - startMs} ms`)
  await sleep(20)
  assert.equal(expiries, 1)
})

test('a deadline that is set to a shorter time does not wait for the longer one', async () => {
  await new Promise<void>((resolve) => {
    const deadline = new Deadline(resolve)
    deadline.set(3_600_000)
    deadline.set(1_000)
  })
})

test('a deadline that is off or closed does not expire, and one that was off can be set again', async () => {
  const closed = new Deadline(() => assert.fail('closed'))
  closed.set(1)
  closed.close()
  await new Promise<void>((resolve) => {
    let mayExpire = false
    const deadline = new Deadline(() => {
      assert.ok(mayExpire, 'off')
      resolve()
    })
    deadline.set(10)
    deadline.off()
    // After the timer of the first has fired.
    setTimeout(() => {
      mayExpire = true
      deadline.set(10)
    }, 50)
  })
})
