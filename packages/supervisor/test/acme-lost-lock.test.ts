// The lock is taken away when the CA has just signed: what was issued is used, and never beside another.
import assert from 'node:assert/strict'
import { cpSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { temporaryDirectory } from '../../../test/harness/directory.ts'
import { startPebble } from '../../../test/harness/pebble.ts'
import { AcmeManager } from '../src/certificates/acme/manager.ts'
import { answerTlsAlpn, FakeHost, settingsFor } from './certificate-host.ts'

const TEST = { timeout: 60_000 }
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
    const [host, lateHost] = [new FakeHost(t), new FakeHost(t)]
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
