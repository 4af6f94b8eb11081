import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testConfig } from '../../../test/harness/config.ts'
import type { Config, Listener } from '../src/config/config.ts'
import { afterReload, compareConfigs } from '../src/config/split.ts'

const LISTENER: Listener = {
  id: '127.0.0.1:443',
  bindAddrs: ['127.0.0.1'],
  httpPort: 80,
  httpsPort: 443,
  tls: { mode: 'internal' },
  sites: [],
}

const CONFIG = testConfig({
  user: 'www',
  stateDir: '/state',
  healthCheckPort: 9900,
  adminSocketPath: '/admin.sock',
  shutdownTimeoutMs: 30_000,
  listeners: [LISTENER],
})

const changed = (change: Partial<Config>) => compareConfigs(CONFIG, { ...CONFIG, ...change })

test('reload: sites, limits and timeouts are swapped in place', () => {
  const change = changed({
    limits: { ...CONFIG.limits, headerCount: 7 },
    shutdownTimeoutMs: 1,
    listeners: [{ ...LISTENER, sites: [] }],
  })
  assert.equal(change.needsFreshWorkers, false)
  assert.equal(change.needsRestart.size, 0)
  assert.equal(change.kept.length, 1)
})

test('reload: workers, logging, ports and TLS modes need fresh workers', () => {
  assert.ok(changed({ workers: 3 }).needsFreshWorkers)
  assert.ok(changed({ logging: { ...CONFIG.logging, level: 'debug' } }).needsFreshWorkers)
  const moved: Listener = { ...LISTENER, httpPort: 81 }
  const { added, removed, kept, needsFreshWorkers } = changed({ listeners: [moved] })
  assert.deepEqual([added, removed, kept, needsFreshWorkers], [[moved], [LISTENER], [], true])
  assert.ok(changed({ listeners: [{ ...LISTENER, tls: { mode: 'manual', pairs: [] } }] }).needsFreshWorkers)
})

test('reload: what lives in the supervisor alone stays, and is named', () => {
  const next: Config = { ...CONFIG, stateDir: '/other', healthCheckPort: 1, user: undefined, workers: 4 }
  assert.deepEqual(
    [...compareConfigs(CONFIG, next).needsRestart.keys()],
    ['user', 'state_dir', 'health_check_port'],
  )
  assert.deepEqual(afterReload(CONFIG, next), { ...CONFIG, workers: 4 })
})
