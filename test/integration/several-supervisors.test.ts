// N supervisors, one cache: whoever comes first orders, and the others use what it gets, whatever a dead
// process has left and wherever in its locking one of them stands still (SIGSTOP). The CA sees one account
// and one request to sign; a second one only of a process that stood still when it had been cleared to ask,
// or had asked, until others had taken its lock. Even then one certificate is saved, and all serve that.
import assert from 'node:assert/strict'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { completeSerials, leftovers, quarantined } from '../harness/certificates/cache.ts'
import type { Trap } from '../harness/certificates/fs-trap.ts'
import type { ManagerProcess } from '../harness/certificates/manager-process.ts'
import type { ManagerOutcome } from '../harness/certificates/messages.ts'
import { CertificateScene } from '../harness/certificates/scene.ts'
import { IS_FULL } from '../harness/size.ts'
import { waitFor } from '../harness/wait.ts'

const TEST = { timeout: IS_FULL ? 900_000 : 120_000 }
const SUPERVISORS = IS_FULL ? 8 : 5
/** At every how many steps of the lock one is stopped. */
const STRIDE = IS_FULL ? 1 : 6
const HOUR_MS = 3_600_000
/** Whom the stale lock names: nobody on this host. */
const GONE = { pid: 1, host: 'elsewhere' }

/** What everybody came to in one cache directory, and how often the CA was asked to sign. */
interface Affair {
  readonly outcomes: readonly ManagerOutcome[]
  readonly signed: number
}

class Crowd {
  readonly scene: CertificateScene
  readonly all: readonly ManagerProcess[]
  readonly first: ManagerProcess
  readonly others: readonly ManagerProcess[]

  constructor(scene: CertificateScene) {
    this.scene = scene
    this.first = scene.process()
    this.others = Array.from({ length: SUPERVISORS - 1 }, () => scene.process())
    this.all = [this.first, ...this.others]
  }

  async acquire(process: ManagerProcess, cacheDir: string): Promise<ManagerOutcome> {
    const outcome = await this.scene.run(process, 'acquire', cacheDir)
    assert.ok(outcome)
    return outcome
  }

  /** How the first one fares alone. */
  async rehearse(): Promise<ManagerOutcome> {
    for (;;) {
      const outcome = await this.acquire(this.first, this.scene.cacheDir())
      // Once, in making it. One that takes so long that it keeps its lock fresh makes more calls than others will.
      if (outcome.calls.filter((call) => call.startsWith('utimes /lock')).length === 1) return outcome
    }
  }

  /** Runs `work` in a new directory: one account, one certificate saved, nobody serving any other. */
  async settle(
    note: string,
    work: (cacheDir: string) => Promise<readonly ManagerOutcome[]>,
  ): Promise<Affair> {
    const { pebble } = this.scene
    const [accounts, finalized] = [pebble.accounts(), pebble.requests('finalize')]
    const cacheDir = this.scene.cacheDir()
    const outcomes = await work(cacheDir)
    const told = outcomes.map(({ logged }) => logged.join('\n')).join('\n\n')
    for (const { error } of outcomes) assert.equal(error, undefined, `${note}\n${told}`)
    assert.equal(pebble.accounts() - accounts, 1, `${note}: accounts\n${told}`)
    const saved = completeSerials(cacheDir)
    assert.equal(saved.length, 1, `${note}: certificates saved\n${told}`)
    for (const { served, published } of outcomes) {
      assert.deepEqual([served?.serial], saved, `${note}: served\n${told}`)
      for (const serial of published) assert.equal(serial, saved[0], `${note}: served meanwhile\n${told}`)
    }
    assert.deepEqual(leftovers(cacheDir), [], note)
    assert.deepEqual(quarantined(cacheDir), [], note)
    return { outcomes, signed: pebble.requests('finalize') - finalized }
  }

  /** The first one stands still at `trap`, and goes on when others have got their certificate without it, or wait for it. */
  async overtake(
    note: string,
    trap: Trap,
    isTakenForDead: boolean,
  ): Promise<Affair & { readonly signedBefore: number; readonly isSaved: boolean }> {
    const { scene, first, others } = this
    const finalized = scene.pebble.requests('finalize')
    let signedBefore = 0
    let isSaved = false
    for (const process of others) process.takenForDead = isTakenForDead ? [first.pid] : undefined
    const affair = await this.settle(note, async (cacheDir) => {
      const stopping = scene.run(first, 'acquire', cacheDir, trap)
      await waitFor(`it is ${note}`, () => first.isStopped, 30_000)
      signedBefore = scene.pebble.requests('finalize') - finalized
      // It has its name when it is complete: whoever looks finds it, the rename that makes it current or not.
      isSaved = completeSerials(cacheDir).length > 0
      const done = new Set<ManagerProcess>()
      const running = others.map(async (process) => {
        const outcome = await this.acquire(process, cacheDir)
        done.add(process)
        return outcome
      })
      await waitFor(
        `the others, ${note}`,
        () => {
          if (isTakenForDead) return done.size > 0
          return others.every((process) => done.has(process) || process.isWaiting)
        },
        60_000,
      )
      first.resume()
      const resumed = await stopping
      assert.ok(resumed)
      return [resumed, ...(await Promise.all(running))]
    })
    return { ...affair, signedBefore, isSaved }
  }
}

/** A lock of an hour ago, by a process that nobody here can know to be dead. */
function leaveStaleLock(cacheDir: string): void {
  mkdirSync(join(cacheDir, 'lock'), { recursive: true, mode: 0o700 })
  const anHourAgo = new Date(Date.now() - HOUR_MS)
  const file = join(cacheDir, 'lock', 'gone.json')
  writeFileSync(file, JSON.stringify({ ...GONE, since: anHourAgo.toISOString() }), { mode: 0o600 })
  utimesSync(file, anHourAgo, anHourAgo)
}

test('N supervisors, one cache: started at once, with a stale lock lying there', TEST, async (t) => {
  const crowd = new Crowd(await CertificateScene.create(t))
  for (const hurries of [false, true]) {
    for (const process of crowd.all) process.takenForDead = hurries ? [GONE.pid] : undefined
    const note = hurries ? 'all take it over at the same moment' : 'all wait until it is surely dead'
    const { outcomes, signed } = await crowd.settle(note, async (cacheDir) => {
      leaveStaleLock(cacheDir)
      return await Promise.all(crowd.all.map(async (process) => await crowd.acquire(process, cacheDir)))
    })
    assert.equal(signed, 1, note)
    assert.equal(outcomes.filter(({ callsBeforeOrder }) => callsBeforeOrder !== undefined).length, 1, note)
    assert.ok(
      crowd.all.some(({ progress }) => progress.some((line) => line.startsWith('waiting for process'))),
    )
  }
})

test('N supervisors, one cache: one stands still at each step of its locking', TEST, async (t) => {
  const crowd = new Crowd(await CertificateScene.create(t))
  const { scene } = crowd
  const { calls, callsBeforeDownload = 0 } = await crowd.rehearse()
  const steps = calls.flatMap((call, index) => (call.includes(' /lock') ? [index + 1] : []))
  assert.ok(steps.length > 12, 'the lock is asked before each step that counts')
  t.diagnostic(`${steps.length} steps`)
  let losses = 0
  const sample = steps.filter((_, index) => index % STRIDE === Math.floor(STRIDE / 2))
  // And always directly before it asks for the signature.
  for (const at of new Set([...sample, callsBeforeDownload])) {
    for (const isTakenForDead of [false, true]) {
      const note = `stopped before ${calls[at - 1]}, call ${at}, ${isTakenForDead ? 'taken for dead' : 'waited for'}`
      const orders = scene.pebble.requests('newOrder')
      const trap = { at, action: { kind: 'stop' } } as const
      const { outcomes, signed, signedBefore, isSaved } = await crowd.overtake(note, trap, isTakenForDead)
      // What it had asked for, and not written, is asked for again. It asks for nothing when it has been overtaken.
      const expected = isTakenForDead && !isSaved ? signedBefore + 1 : 1
      assert.equal(signed, expected, `${note}: requests to sign`)
      if (!isTakenForDead) assert.equal(scene.pebble.requests('newOrder') - orders, 1, note)
      losses += outcomes.filter(({ logged }) => logged.some((line) => line.includes('was lost to'))).length
    }
  }
  assert.ok(losses > 0, 'some had to give up an order that was under way')

  // What no lock can prevent: it has been cleared to ask, and then stands still.
  assert.match(calls[callsBeforeDownload - 1] ?? '', /^lstat \/lock\//u, 'the lock is asked directly before')
  const trap = { at: callsBeforeDownload, action: { kind: 'stop-after' } } as const
  const { signed, signedBefore } = await crowd.overtake('stopped directly before its request', trap, true)
  assert.equal(signedBefore, 0)
  assert.ok(signed <= 2, `one request too many at most, not ${signed - 1}`)
})
