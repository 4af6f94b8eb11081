// Certificates through a reload while another process holds a lock: nobody waits longer than for a start.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import type { Config } from '@reverse-proxy/shared/config/config'
import { compareConfigs } from '@reverse-proxy/shared/config/split'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { internalCaDirectory } from '../../src/certificates/internal/ca.ts'
import { CertificateRegistry } from '../../src/certificates/registry/registry.ts'
import { lockDirectory } from '../../src/certificates/storage/lock.ts'
import type { HeldLock } from '../../src/certificates/storage/storage.ts'
import { loadConfig } from '../../src/config/load.ts'
import { HEAD, makeDirectory, OPTIONS, writeConfig } from '../support/config-directory.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { recordingLog } from '../support/recording-log.ts'

const TEST = { timeout: 60_000 }
const ID = '127.0.0.1:8443'

async function configFor(t: TestContext, ...hosts: string[]): Promise<Config> {
  const sites = hosts.map((host) => `{ host = "${host}", upstream = "127.0.0.1:1" }`)
  const text = `${HEAD}
[[listeners]]
bind_addr = "127.0.0.1"
https_port = 8443
http_port = 0
tls = { mode = "internal" }
sites = [${sites.join(', ')}]
`
  return (await loadConfig(await writeConfig(await makeDirectory(t), text), OPTIONS)).config
}

interface Scene {
  readonly registry: CertificateRegistry
  readonly clock: ManualClock
  /** Acts as another process that holds the directory of the listener's leaf. */
  readonly holdLeaf: () => Promise<HeldLock>
  readonly servedNames: () => readonly string[]
}

/** A listener of the internal CA for a.test, loaded and started. */
async function start(t: TestContext): Promise<Scene> {
  const stateDir = temporaryDirectory(t)
  const clock = new ManualClock(Date.now())
  const registry = new CertificateRegistry({
    stateDir,
    clock,
    log: recordingLog(),
    broadcast: async () => [{ pid: 1, slot: 1, result: 'done' }],
    progress: () => {},
    onSettled: () => {},
  })
  t.after(async () => await registry.close())
  await registry.load(await configFor(t, 'a.test'))
  registry.start()
  const leaves = join(internalCaDirectory(stateDir), 'leaves')
  return {
    registry,
    clock,
    holdLeaf: async () => {
      const [leaf = ''] = await readdir(leaves)
      return await lockDirectory(join(leaves, leaf), {
        signal: new AbortController().signal,
        onWaiting: () => {},
      })
    },
    servedNames: () => registry.certificates[0]?.certificates[0]?.names ?? [],
  }
}

test('a renewal that a reload cuts short says that the reload has removed its listener', TEST, async (t) => {
  const { registry, holdLeaf } = await start(t)
  const running = await configFor(t, 'a.test')
  const lock = await holdLeaf()
  const renewal = registry.renew('a.test')
  const outcome = assert.rejects(renewal, { message: `a reload has removed listener ${ID}` })
  const transaction = await registry.prepare(compareConfigs(running, { ...running, listeners: [] }))
  await transaction.apply()
  await transaction.commit()
  await outcome
  await lock.release()
})

test('a reload that needs a lock of another process goes on, says so, and serves later', TEST, async (t) => {
  const { registry, clock, holdLeaf, servedNames } = await start(t)
  const lock = await holdLeaf()
  const change = compareConfigs(await configFor(t, 'a.test'), await configFor(t, 'a.test', 'b.test'))
  const preparing = registry.prepare(change)
  await clock.advance(6_000)
  const transaction = await preparing
  assert.equal(transaction.warnings.length, 1)
  assert.match(
    transaction.warnings[0] ?? '',
    /^listener 127\.0\.0\.1:8443: .* is not ready.* the old one is served/u,
  )
  await transaction.apply()
  await transaction.commit()
  assert.deepEqual(servedNames(), ['a.test'])
  assert.equal(registry.isComplete, false)
  await lock.release()
  await waitFor('the new leaf', () => servedNames().includes('b.test'), 30_000)
  await waitFor('the end of the load', () => registry.isSettled && registry.isComplete, 30_000)
})

test(
  'a reload that fails while a load waits for a lock leaves the old manager in charge',
  TEST,
  async (t) => {
    const { registry, clock, holdLeaf, servedNames } = await start(t)
    const lock = await holdLeaf()
    const preparing = registry.prepare(
      compareConfigs(await configFor(t, 'a.test'), await configFor(t, 'a.test', 'b.test')),
    )
    await clock.advance(6_000)
    const transaction = await preparing
    await transaction.apply()
    await transaction.rollback()
    await lock.release()
    assert.deepEqual(servedNames(), ['a.test'])
    assert.equal(registry.isComplete, true)
    await registry.renew('a.test')
  },
)
