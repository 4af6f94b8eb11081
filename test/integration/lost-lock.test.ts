// The lock is taken away: when the CA has just signed, what was issued is used, and never beside another; in
// resuming an order, nothing is asked for or written any more.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { reportStatus } from '../harness/acme/alterations.ts'
import { hang, serverError } from '../harness/acme/answers.ts'
import type { Behaviour } from '../harness/acme/exchange.ts'
import { temporaryDirectory } from '../harness/directory.ts'
import { startPebble } from '../harness/acme/pebble.ts'
import { waitFor } from '../harness/wait.ts'
import { AcmeManager } from '../../packages/supervisor/src/certificates/acme/manager.ts'
import { answerTlsAlpn, FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'
import { CaScene } from '../harness/certificates/ca-scene.ts'

const TEST = { timeout: 120_000 }
const NEVER = new AbortController().signal

async function acquired(t: TestContext, settings: AcmeSettings, host: FakeHost): Promise<AcmeManager> {
  const manager = new AcmeManager('127.0.0.1:443', settings, host)
  t.after(async () => await manager.close())
  await manager.load()
  await manager.acquire(NEVER)
  return manager
}

/** Has `act` done as soon as a certificate has been issued, before it is saved. */
function whenIssued(host: FakeHost, act: () => void): void {
  const info = host.log.info
  host.log.info = (event, fields) => {
    info(event, fields)
    if (event === 'CERT_ISSUED') act()
  }
}

test(
  'the lock is lost when the CA has signed: what is in hand is saved, or gives way to what another has saved',
  TEST,
  async (t) => {
    const pebble = await startPebble(t, { authorizationReusePercent: 100 })
    const [host, lateHost] = [new FakeHost(), new FakeHost()]
    const hosts = {
      get challenges() {
        return [...host.challenges, ...lateHost.challenges]
      },
    }
    await answerTlsAlpn(t, hosts, pebble.tlsPort)
    const settings = settingsFor(pebble, temporaryDirectory(t))
    const lock = join(settings.cacheDir, 'lock')
    whenIssued(host, () => rmSync(lock, { recursive: true }))

    const manager = await acquired(t, settings, host)
    const [kept] = manager.current()
    assert.equal(pebble.requests('finalize'), 1, 'nothing is ordered again')
    assert.deepEqual(host.published, [[kept]])
    assert.equal((await readdir(join(settings.cacheDir, 'generations'))).length, 1)
    const restarted = new AcmeManager('127.0.0.1:443', settings, host)
    await restarted.load()
    assert.deepEqual(restarted.current(), [kept])
    await restarted.close()

    const late = settingsFor(pebble, temporaryDirectory(t))
    whenIssued(lateHost, () => {
      rmSync(join(late.cacheDir, 'lock'), { recursive: true })
      for (const name of ['generations', 'current'])
        cpSync(join(settings.cacheDir, name), join(late.cacheDir, name), {
          recursive: true,
          verbatimSymlinks: true,
        })
    })
    const overtaken = await acquired(t, late, lateHost)
    assert.deepEqual(overtaken.current(), [kept])
    assert.deepEqual(lateHost.published, [[kept]], 'never the other one')
    assert.equal((await readdir(join(late.cacheDir, 'generations'))).length, 1)
  },
)

const pass: Behaviour = async ({ forward, send }) => send(await forward())

test(
  "the lock is lost in resuming an order: no finalize, and the record is the next holder's",
  TEST,
  async (t) => {
    const scene = await CaScene.start(t)
    const { ca, host } = scene
    for (const [what, answer] of [
      ['is ready to be finalized', pass],
      ['cannot be read', serverError()],
      ['is invalid', reportStatus('invalid')],
    ] as const) {
      await t.test(`the order ${what}`, TEST, async (st) => {
        const life = scene.enter(st)
        const [path, lock] = ['order.json', 'lock'].map((name) => join(life.settings.cacheDir, name))
        assert.ok(path !== undefined && lock !== undefined)
        const hung = ca.inject({ on: 'finalize', answer: hang() })
        const first = await life.load()
        await Promise.all([
          assert.rejects(first.acquire(NEVER)),
          waitFor('finalize is sent', () => hung.hits > 0, 30_000).then(async () => await first.close()),
        ])
        hung.remove()
        const recorded = readFileSync(path, 'utf8')
        // The record that the next holder would write.
        const others = recorded.replace('"failures":0', '"failures":1')
        assert.notEqual(others, recorded)
        const finalized = ca.requestsOf('finalize').length

        let isTaken = false
        ca.inject({
          on: 'order',
          answer: async (exchange) => {
            if (!isTaken) {
              rmSync(lock, { recursive: true })
              mkdirSync(lock, { mode: 0o700 })
              const holder = { pid: 1, host: 'elsewhere', since: new Date().toISOString() }
              writeFileSync(join(lock, 'other.json'), JSON.stringify(holder), { mode: 0o600 })
              writeFileSync(path, others, { mode: 0o600 })
            }
            isTaken = true
            await answer(exchange)
          },
          when: () => !isTaken || answer !== pass,
        })
        host.steps.length = 0
        const second = await life.load()
        const acquiring = second.acquire(NEVER)
        await waitFor('it waits for the other', () => host.steps.includes('waiting'), 30_000)
        assert.equal(ca.requestsOf('finalize').length, finalized)
        assert.equal(readFileSync(path, 'utf8'), others)

        ca.removeFaults()
        rmSync(lock, { recursive: true })
        await acquiring
        assert.equal(ca.requestsOf('finalize').length, finalized + 1)
        assert.equal(life.newOrders(), 1)
      })
    }
  },
)
