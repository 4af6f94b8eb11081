// One process at a time in a cache directory: waiting, giving up, losing the lock.
import assert from 'node:assert/strict'
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../test/harness/directory.ts'
import { waitFor } from '../../../test/harness/wait.ts'
import { lockDirectory } from '../src/certificates/lock.ts'

const never = new AbortController().signal
const silent = (): void => {}
const TEST = { timeout: 30_000 }

test('the second waits, is told whom for, and goes on when the first lets go', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const first = await lockDirectory(directory, { signal: never, onWaiting: silent })
  const waiting = Promise.withResolvers<string>()
  const second = lockDirectory(directory, { signal: never, onWaiting: waiting.resolve })
  assert.match(await waiting.promise, new RegExp(`^process ${process.pid}, since 20`, 'u'))
  await first.assertHeld()
  await first.release()
  const lock = await second
  await lock.assertHeld()
  await assert.rejects(first.assertHeld(), { code: 'CACHE' })
  await lock.release()
  await lock.release()
  assert.deepEqual(await readdir(directory), [])
})

test('a waiter gives up after its limit and says who holds the directory', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
  await assert.rejects(lockDirectory(directory, { signal: never, onWaiting: silent, waitLimitMs: 300 }), {
    code: 'CACHE',
    message: new RegExp(`is held by process ${process.pid}`, 'u'),
  })
  await lock.release()
})

test('a waiter stops waiting when told to', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
  const stop = new AbortController()
  const waiting = lockDirectory(directory, {
    signal: stop.signal,
    onWaiting: () => stop.abort(new Error('stop')),
  })
  await assert.rejects(waiting, /^Error: stop$/u)
  await lock.release()
})

test('what a killed process left is taken over once it is stale', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  await mkdir(join(directory, 'lock'))
  await writeFile(join(directory, 'lock-holder.json'), '{"token":"x","pid":1,"host":"h","since":"s"}')
  const anHourAgo = new Date(Date.now() - 3_600_000)
  await utimes(join(directory, 'lock'), anHourAgo, anHourAgo)
  const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
  await lock.assertHeld()
  await lock.release()
})

test(
  'a lock that was taken away is noticed without an exception, and before the next write',
  TEST,
  async (t) => {
    const directory = temporaryDirectory(t)
    const lost = await lockDirectory(directory, { signal: never, onWaiting: silent })
    await rm(join(directory, 'lock'), { recursive: true })
    const thief = await lockDirectory(directory, { signal: never, onWaiting: silent })
    await assert.rejects(lost.assertHeld(), { code: 'CACHE', message: /was lost to another process/u })
    assert.equal(lost.signal.aborted, true)
    await lost.release()
    await thief.assertHeld()
    await thief.release()
  },
)

test('a lock that vanished aborts the work under way', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
  await rm(join(directory, 'lock'), { recursive: true })
  await waitFor('the lock is known to be lost', () => lock.signal.aborted)
  await lock.release()
})
