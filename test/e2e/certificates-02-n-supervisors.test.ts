// N supervisors, one cache: whoever comes first orders, and the others use what it gets, whatever a dead
// process has left and wherever in its locking one of them stands still (SIGSTOP). The CA sees one account
// and one request to sign.
import assert from 'node:assert/strict'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { completeSerials, leftovers, quarantined } from '../harness/certificates/cache.ts'
import type { ManagerProcess } from '../harness/certificates/manager-process.ts'
import type { ManagerOutcome } from '../harness/certificates/messages.ts'
import { CertificateScene } from '../harness/certificates/scene.ts'
import { waitFor } from '../harness/wait.ts'

const IS_FULL = process.env['REVERSE_PROXY_TEST_SIZE'] === 'full'
const TEST = { timeout: IS_FULL ? 900_000 : 120_000 }
const SUPERVISORS = 8
/** At every how many steps of the lock one is stopped. */
const STRIDE = IS_FULL ? 1 : 12
/** Longer than anybody is waited for who gives no sign of life. */
const HURRY_MS = 100_000
const HOUR_MS = 3_600_000

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

  /** Whether those who wait take what they wait for as dead, all at the same moment. */
  set hurries(hurries: boolean) {
    for (const process of this.all) process.hurryMs = hurries ? HURRY_MS : 0
  }

  async acquire(process: ManagerProcess, cacheDir: string): Promise<ManagerOutcome> {
    const outcome = await this.scene.run(process, 'acquire', cacheDir)
    assert.ok(outcome)
    return outcome
  }

  /** Runs `work` in a new directory, and returns what everybody came to, the CA having been asked once. */
  async once(
    note: string,
    work: (cacheDir: string) => Promise<readonly ManagerOutcome[]>,
  ): Promise<readonly ManagerOutcome[]> {
    const { pebble } = this.scene
    const [accounts, finalized] = [pebble.accounts(), pebble.requests('finalize')]
    const cacheDir = this.scene.cacheDir()
    const outcomes = await work(cacheDir)
    const told = outcomes.map(({ logged }) => logged.join('\n')).join('\n\n')
    for (const { error } of outcomes) assert.equal(error, undefined, `${note}\n${told}`)
    assert.equal(pebble.accounts() - accounts, 1, `${note}: accounts\n${told}`)
    assert.equal(pebble.requests('finalize') - finalized, 1, `${note}: requests to sign\n${told}`)
    const saved = completeSerials(cacheDir)
    for (const { served } of outcomes) assert.deepEqual([served?.serial], saved, `${note}\n${told}`)
    assert.deepEqual(leftovers(cacheDir), [], note)
    assert.deepEqual(quarantined(cacheDir), [], note)
    return outcomes
  }
}

/** A lock of an hour ago, by a process that nobody here can know to be dead. */
function leaveStaleLock(cacheDir: string): void {
  mkdirSync(join(cacheDir, 'lock'), { recursive: true, mode: 0o700 })
  const anHourAgo = new Date(Date.now() - HOUR_MS)
  utimesSync(join(cacheDir, 'lock'), anHourAgo, anHourAgo)
  const holder = { token: 'gone', pid: 1, host: 'elsewhere', since: anHourAgo.toISOString() }
  writeFileSync(join(cacheDir, 'lock-holder.json'), JSON.stringify(holder), { mode: 0o600 })
}

test('N supervisors, one cache: started at once, with a stale lock lying there', TEST, async (t) => {
  const crowd = new Crowd(await CertificateScene.create(t))
  for (const hurries of [false, true]) {
    crowd.hurries = hurries
    const note = hurries ? 'all take it over at the same moment' : 'all wait until it is surely dead'
    const outcomes = await crowd.once(note, async (cacheDir) => {
      leaveStaleLock(cacheDir)
      return await Promise.all(crowd.all.map(async (process) => await crowd.acquire(process, cacheDir)))
    })
    const orders = outcomes.filter(({ callsBeforeOrder }) => callsBeforeOrder !== undefined)
    assert.ok(orders.length >= 1)
    assert.ok(
      crowd.all.some(({ progress }) => progress.some((line) => line.startsWith('waiting for process'))),
    )
  }
})

test('N supervisors, one cache: one stands still at each step of its locking', TEST, async (t) => {
  const crowd = new Crowd(await CertificateScene.create(t))
  const { scene, first, others } = crowd
  const { calls } = await crowd.acquire(first, scene.cacheDir())
  const steps = calls.flatMap((call, index) => (call.includes(' /lock') ? [index + 1] : []))
  assert.ok(steps.length > 30, 'the lock is asked before each step that counts')
  t.diagnostic(`${steps.length} steps`)
  let losses = 0
  for (const at of steps.filter((_, index) => index % STRIDE === Math.floor(STRIDE / 2))) {
    for (const hurries of [false, true]) {
      crowd.hurries = hurries
      const note = `stopped before ${calls[at - 1]}, call ${at}, ${hurries ? 'taken for dead' : 'waited for'}`
      const orders = scene.pebble.requests('newOrder')
      const outcomes = await crowd.once(note, async (cacheDir) => {
        const action = { kind: 'stop' } as const
        const stopping = scene.run(first, 'acquire', cacheDir, { at, action })
        await waitFor(`it is ${note}`, () => first.isStopped, 30_000)
        const done = new Set<ManagerProcess>()
        const running = others.map(async (process) => {
          const outcome = await crowd.acquire(process, cacheDir)
          done.add(process)
          return outcome
        })
        // Taken for dead, it is overtaken by one of them at least; else they are done, or wait for it.
        await waitFor(
          `the others, ${note}`,
          () => {
            if (hurries) return done.size > 0
            return others.every((process) => done.has(process) || process.isWaiting)
          },
          60_000,
        )
        first.resume()
        const resumed = await stopping
        assert.ok(resumed)
        return [resumed, ...(await Promise.all(running))]
      })
      if (!hurries) assert.equal(scene.pebble.requests('newOrder') - orders, 1, note)
      losses += outcomes.filter(({ logged }) => logged.some((line) => line.includes('was lost to'))).length
    }
  }
  assert.ok(losses > 0, 'some had to give up an order that was under way')
})
