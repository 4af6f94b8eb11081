// Crash anywhere: a supervisor is killed, or its disk fails, at every file system call of a renewal and of a
// first acquisition (a part of them in the everyday run, drawn by a seed). Whatever lies there afterwards is
// good for the next start, and what has been paid for is used.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import {
  completeSerials,
  leftovers,
  openToOthers,
  quarantined,
  serialOfPair,
} from '../harness/certificates/cache.ts'
import type { ManagerProcess } from '../harness/certificates/manager-process.ts'
import type { ManagerOutcome } from '../harness/certificates/messages.ts'
import { CertificateScene } from '../harness/certificates/scene.ts'
import { IS_FULL } from '../harness/size.ts'

const TEST = { timeout: IS_FULL ? 900_000 : 120_000 }
/** At every how many calls a process is killed, or a disk fails. */
const STRIDE = IS_FULL ? 1 : 72
/** Processes that boot ahead. */
const LANES = 2

const CODES = ['ENOSPC', 'EIO', 'EROFS'] as const
const LASTING = [true, false]

type Task = 'acquire' | 'renew'

/** A cache directory to begin with, and what happens in it when nothing goes wrong. */
interface Course {
  readonly scene: CertificateScene
  readonly task: Task
  /** For whatever is not to be killed. */
  readonly process: ManagerProcess
  readonly begin: () => string
  readonly oldSerial: string | undefined
  readonly calls: readonly string[]
  readonly callsBeforeOrder: number
}

async function follow(t: TestContext, task: Task): Promise<Course> {
  const scene = await CertificateScene.create(t)
  const process = scene.process()
  // One that was killed before it had put its name into the lock.
  process.takenForDead = []
  const original = scene.cacheDir()
  const first = completed(await scene.run(process, 'acquire', original))
  const begin = (): string => scene.cacheDir(task === 'renew' ? original : undefined)
  const { calls, callsBeforeOrder = 0, served } = completed(await scene.run(process, task, begin()))
  assert.ok(served)
  t.diagnostic(`${calls.length} calls, ${callsBeforeOrder} of them before the order`)
  assert.ok(callsBeforeOrder > 0 && calls.length > callsBeforeOrder, 'the trap sees the calls')
  const oldSerial = task === 'renew' ? first.served?.serial : undefined
  return { scene, task, process, begin, oldSerial, calls, callsBeforeOrder }
}

/** One in `stride` of the numbers from 1 to `last`, and the last: each run begins elsewhere, by `seed`. */
function sample(last: number, stride: number, seed: number): number[] {
  const numbers = Array.from({ length: last }, (_, index) => index + 1)
  return numbers.filter((number) => number === last || (number + seed) % stride === 0)
}

function completed(outcome: ManagerOutcome | undefined): ManagerOutcome {
  assert.ok(outcome)
  assert.equal(outcome.error, undefined)
  return outcome
}

/** What the next start finds: returns the serial number of what it serves. */
async function restart({ scene, process, oldSerial }: Course, cacheDir: string): Promise<string | undefined> {
  const complete = completeSerials(cacheDir)
  const exposed = openToOthers(cacheDir)
  assert.deepEqual(exposed, [])
  const { served, needsOrder, isDue, logged } = completed(await scene.run(process, 'load', cacheDir))
  assert.equal(served === undefined, complete.length === 0, 'what is complete is used')
  assert.equal(needsOrder || isDue, complete.length === 0, 'and nothing is ordered then')
  if (oldSerial !== undefined) assert.ok(served, 'the old pair or the new one')
  if (served === undefined) return undefined
  assert.equal(serialOfPair(served.certPem, served.keyPem), served.serial)
  assert.deepEqual(quarantined(cacheDir), [], logged.join('\n'))
  return served.serial
}

/** The next order goes through, once its time has come, and leaves nothing lying about. */
async function recover({ scene, process }: Course, cacheDir: string): Promise<void> {
  // What the CA had heard of has failed, and puts the next start off.
  rmSync(join(cacheDir, 'last-failure.json'), { force: true })
  const isEmpty = completeSerials(cacheDir).length === 0
  const { served } = completed(await scene.run(process, isEmpty ? 'acquire' : 'renew', cacheDir))
  assert.ok(served)
  assert.ok(completeSerials(cacheDir).includes(served.serial), 'saved')
  assert.deepEqual(leftovers(cacheDir), [])
  assert.deepEqual(openToOthers(cacheDir), [])
}

for (const [seed, task] of (['renew', 'acquire'] as const).entries()) {
  const what = task === 'renew' ? 'a renewal' : 'a first acquisition'

  test(`Crash anywhere: killed before and after each file system call of ${what}`, TEST, async (t) => {
    const course = await follow(t, task)
    const { scene, begin, calls, oldSerial } = course
    const found = new Set<string | undefined>()
    // The next one boots while one is at work.
    const processes = Array.from({ length: LANES }, () => scene.process())
    let issuedUnsaved = 0
    for (const at of [...sample(calls.length + 1, STRIDE, seed), ...betweenFinalizeAndSave(calls)]) {
      const cacheDir = begin()
      const process = processes.shift()
      assert.ok(process)
      processes.push(scene.process())
      const finalized = scene.pebble.requests('finalize')
      const outcome = await scene.run(process, task, cacheDir, { at, action: { kind: 'kill' } })
      // Beyond the rehearsal: a slow one touches its lock more often, and is killed there, too.
      if (at <= calls.length) assert.equal(outcome, undefined, `killed before call ${at}`)
      process.kill()
      const isIssued = scene.pebble.requests('finalize') > finalized
      const served = await restart(course, cacheDir)
      found.add(served)
      const ordered = scene.pebble.requests('newOrder')
      await recover(course, cacheDir)
      if (!isIssued || served !== oldSerial) continue
      issuedUnsaved++
      assert.equal(scene.pebble.requests('newOrder'), ordered, `killed before call ${at}: ordered once`)
    }
    assert.ok(found.has(oldSerial), 'some were killed before the new pair was there')
    assert.ok(found.size > 1, 'and some after')
    assert.ok(issuedUnsaved > 0, 'and some when the CA had issued it')
    if (task === 'acquire')
      assert.ok(scene.pebble.accounts() <= scene.directories, 'no account was made twice')
  })

  test(`Crash anywhere: the disk fails at each file system call of ${what}`, TEST, async (t) => {
    const course = await follow(t, task)
    const { scene, process, begin, calls, callsBeforeOrder, oldSerial } = course
    const { pebble } = scene
    const lastWrite = calls.findLastIndex((call, index) => index < callsBeforeOrder && isNeeded(call)) + 1
    assert.ok(lastWrite > 0)
    for (const [index, at] of sample(calls.length, STRIDE, seed).entries()) {
      const code = CODES[at % CODES.length] ?? 'EIO'
      for (const lasting of IS_FULL ? LASTING : [index % 2 === 0]) {
        const note = `${code}${lasting ? ' from' : ' at'} call ${at}, ${calls[at - 1]}`
        const cacheDir = begin()
        const ordered = pebble.requests('newOrder')
        const finalized = pebble.requests('finalize')
        const action = { kind: 'fail', code, lasting } as const
        const outcome = await scene.run(process, task, cacheDir, { at, action })
        assert.ok(outcome, note)
        if (lasting && at <= lastWrite) {
          assert.equal(pebble.requests('newOrder'), ordered, `${note}: found before ordering`)
          assert.match(outcome.error ?? '', new RegExp(`^cannot use .*${code}`, 'u'))
        }
        const isIssued = pebble.requests('finalize') > finalized
        assert.equal(outcome.served?.serial !== oldSerial, isIssued, `${note}: what was issued is served`)
        assert.equal(outcome.error === undefined, isIssued, `${note}: ${outcome.error}`)
        if (outcome.served) serialOfPair(outcome.served.certPem, outcome.served.keyPem)
        const restarted = await restart(course, cacheDir)
        const isSaved = restarted === outcome.served?.serial
        const saysUnsaved = outcome.logged.some((line) => line.includes('issued but not saved'))
        if (!isSaved) assert.ok(saysUnsaved, `${note}: ${outcome.logged.join('\n')}`)
        await recover(course, cacheDir)
      }
    }
  })
}

/** The calls between the record of the order and the new pair: the first that is certain, and the last. */
function betweenFinalizeAndSave(calls: readonly string[]): number[] {
  const recorded = calls.findIndex((call) => /^rename .*order\.json\./u.test(call))
  const saved = calls.findLastIndex((call) => /^rename .*current\./u.test(call))
  assert.ok(recorded !== -1 && saved > recorded, calls.join('\n'))
  const written = calls.findIndex((call, index) => index > recorded && call.startsWith('mkdir '))
  return [written + 1, saved + 1]
}

/** Calls that no order is worth placing without. */
function isNeeded(call: string): boolean {
  return /^(?:writeFile|rename) /u.test(call)
}
