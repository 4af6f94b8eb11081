// One process at a time in a cache directory: waiting, giving up, losing the lock.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import promises, { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { takeHostLock } from '../../src/certificates/storage/host-lock.ts'
import { LockFile } from '../../src/certificates/storage/lock-file.ts'
import { lockDirectory } from '../../src/certificates/storage/lock.ts'

const never = new AbortController().signal
const silent = (): void => {}
const TEST = { timeout: 30_000 }
const AN_HOUR_AGO = new Date(Date.now() - 3_600_000)

/** A lock by a process that nobody here can know to be dead; the path of its file. */
async function leaveLock(directory: string): Promise<string> {
  const file = join(directory, 'lock', 'x.json')
  await mkdir(join(directory, 'lock'))
  await writeFile(file, '{"pid":1,"host":"elsewhere","since":"2026"}')
  return file
}

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

test('a directory that is gone is no lock to wait for', TEST, async (t) => {
  const directory = join(temporaryDirectory(t), 'gone')
  const lock = new LockFile(directory)
  const holder = { pid: process.pid, host: 'here', since: '2026', guard: undefined }
  await assert.rejects(lock.make(holder), { code: 'ENOENT' })
})

test('what a killed process of this host left is taken over at once', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const code = `
    import { lockDirectory } from ${JSON.stringify(import.meta.resolve('../../src/certificates/storage/lock.ts'))}
    await lockDirectory(${JSON.stringify(directory)}, { signal: new AbortController().signal })
    process.kill(process.pid, 'SIGKILL')`
  const killed = Promise.withResolvers<NodeJS.Signals | undefined>()
  execFile(process.execPath, ['--input-type=module', '-e', code], (error) => killed.resolve(error?.signal))
  assert.equal(await killed.promise, 'SIGKILL')
  assert.deepEqual(await readdir(directory), ['lock'])
  const startedMs = performance.now()
  const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
  assert.ok(performance.now() - startedMs < 8000, 'sooner than a lock is stale')
  await lock.assertHeld()
  await lock.release()
  assert.deepEqual(await readdir(directory), [])
})

test('a lock that another has taken is noticed before the next step, and left to it', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const lost = await lockDirectory(directory, { signal: never, onWaiting: silent })
  await rm(join(directory, 'lock'), { recursive: true })
  await leaveLock(directory)
  await assert.rejects(lost.assertHeld(), { code: 'CACHE', message: /was lost to another process/u })
  assert.equal(lost.signal.aborted, true)
  await lost.release()
  assert.deepEqual(await readdir(join(directory, 'lock')), ['x.json'])
})

for (const step of ['open', 'readdir'] as const) {
  test(
    `one that stands still before ${step} in making its lock, and is overtaken, leaves the other’s alone`,
    TEST,
    async (t) => {
      const directory = temporaryDirectory(t)
      const path = join(directory, 'lock')
      const late = new LockFile(directory)
      const other = new LockFile(directory)
      const holder = { pid: 1, host: 'elsewhere', since: '2026', guard: undefined }
      const original: (...args: never[]) => Promise<unknown> = promises[step]
      const overtake = t.mock.method(promises, step, async (...args: never[]) => {
        overtake.mock.restore()
        syncBuiltinESMExports()
        await rm(path, { recursive: true })
        assert.equal(await other.make(holder), true)
        return await original(...args)
      })
      syncBuiltinESMExports()
      assert.equal(await late.make(holder), false)
      await late.release()
      assert.equal(await other.isOurs(), true)
      await other.release()
      assert.deepEqual(await readdir(directory), [])
    },
  )
}

// They wait for real, each for a lock of its own.
describe('what takes its time', { concurrency: true }, () => {
  test(
    'what a process elsewhere left is taken over once two looks have found it untouched',
    TEST,
    async (t) => {
      const directory = temporaryDirectory(t)
      const file = await leaveLock(directory)
      await utimes(file, AN_HOUR_AGO, AN_HOUR_AGO)
      const waiting = Promise.withResolvers<string>()
      const locking = lockDirectory(directory, { signal: never, onWaiting: waiting.resolve })
      assert.match(await waiting.promise, /^process 1 on elsewhere, since 2026$/u)
      // It lives after all, under a clock that is an hour slow.
      const stillAnHourAgo = new Date(Date.now() - 3_599_000)
      await utimes(file, stillAnHourAgo, stillAnHourAgo)
      const touchedMs = performance.now()
      const lock = await locking
      assert.ok(
        performance.now() - touchedMs > 2500,
        'not before the holder had time for another sign of life',
      )
      await lock.assertHeld()
      await lock.release()
    },
  )

  test('other things in the place of the lock and its holder are in nobody’s way', TEST, async (t) => {
    const hostile: Readonly<Record<string, (directory: string) => Promise<void>>> = {
      'a file': async (directory) => {
        await writeFile(join(directory, 'lock'), 'x')
        await utimes(join(directory, 'lock'), AN_HOUR_AGO, AN_HOUR_AGO)
      },
      'a directory with something in it': async (directory) => {
        await mkdir(join(directory, 'lock', 'in', 'it'), { recursive: true })
        await utimes(join(directory, 'lock'), AN_HOUR_AGO, AN_HOUR_AGO)
      },
      'a link to nowhere': async (directory) => await symlink('nowhere', join(directory, 'lock')),
      'a lock that names nobody': async (directory) => await mkdir(join(directory, 'lock')),
      'a link for a holder': async (directory) => {
        await mkdir(join(directory, 'lock'))
        await symlink('/dev/zero', join(directory, 'lock', 'x.json'))
      },
    }
    const directories = Object.entries(hostile).map(async ([what, make]) => {
      const directory = temporaryDirectory(t)
      await make(directory)
      const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
      await lock.assertHeld()
      await lock.release()
      assert.deepEqual(await readdir(directory), [], what)
    })
    await Promise.all(directories)
  })

  test('what one that was overtaken and died left in the lock is in nobody’s way', TEST, async (t) => {
    const directory = temporaryDirectory(t)
    const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
    await writeFile(join(directory, 'lock', 'late.json'), '{"pid":1,"host":"elsewhere","since":"2026"}')
    await lock.assertHeld()
    await lock.release()
    assert.deepEqual(await readdir(join(directory, 'lock')), ['late.json'])
    await utimes(join(directory, 'lock', 'late.json'), AN_HOUR_AGO, AN_HOUR_AGO)
    const next = await lockDirectory(directory, { signal: never, onWaiting: silent })
    await next.release()
    assert.deepEqual(await readdir(directory), [])
  })

  test('a lock that vanished aborts the work under way', TEST, async (t) => {
    const directory = temporaryDirectory(t)
    const lock = await lockDirectory(directory, { signal: never, onWaiting: silent })
    await rm(join(directory, 'lock'), { recursive: true })
    await waitFor('the lock is known to be lost', () => lock.signal.aborted)
    await lock.release()
  })
})

test('a stranger who binds the name of the guard delays, and no more', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const guard = await takeHostLock(directory)
  if (guard === undefined || guard === 'busy') throw new Error('no guard')
  t.after(async () => await guard.release())
  const waiting = Promise.withResolvers<string>()
  const locking = lockDirectory(directory, { signal: never, onWaiting: waiting.resolve })
  await waiting.promise
  const now = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => now() + 65_000)
  const lock = await locking
  await lock.assertHeld()
  await lock.release()
})
