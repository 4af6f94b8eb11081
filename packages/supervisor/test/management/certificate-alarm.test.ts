// The alarm of a renewal that has died, as operators get it: in the log, in `certs` and in `status`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { ReportBuilder } from '../../src/management/reports/report-builder.ts'
import { CertificateRegistry } from '../../src/certificates/registry/registry.ts'
import type { WaitableClock } from '../../src/os/waitable-clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { HEAD, makeDirectory, OPTIONS, writeConfig } from '../support/config-directory.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { recordingLog } from '../support/recording-log.ts'

const MINUTE_MS = 60_000

test('a renewal loop that dies raises the alarm in the log, in certs and in status', async (t) => {
  const pair = await (await TestCa.create(t)).issue(['a.test'])
  const path = await writeConfig(
    await makeDirectory(t),
    `${HEAD}
[[listeners]]
bind_addr = "127.0.0.1"
https_port = 8443
http_port = 0
tls = { mode = "manual", cert_path = "${pair.certPath}", key_path = "${pair.keyPath}" }
sites = [{ host = "a.test", upstream = "127.0.0.1:1" }]
`,
  )
  const { config } = await loadConfig(path, OPTIONS)
  const log = recordingLog()
  let isBroken = false
  const time = new ManualClock(Date.now())
  const clock: WaitableClock = {
    nowMs: () => {
      if (isBroken) throw new Error('no time')
      return time.nowMs()
    },
    timerMs: () => time.timerMs(),
    sleep: async (delayMs, signal) => await time.sleep(delayMs, signal),
  }
  const stateDir = await makeDirectory(t)
  const registry = new CertificateRegistry({
    stateDir,
    clock,
    log,
    broadcast: async () => [],
    progress: () => {},
    onSettled: () => {},
  })
  t.after(async () => await registry.close())
  await registry.load(config)
  const reports = new ReportBuilder({
    pid: 1,
    bans: { size: 0, list: function* () {}, of: () => undefined },
    clock,
    fleet: {
      size: 1,
      isReady: true,
      generation: 1,
      roll: undefined,
      unexpectedExits: 0,
      workers: [],
      clock,
    },
    registry,
    reloads: { outcome: undefined },
    phase: () => 'serving',
    config: () => config,
  })

  registry.start()
  await time.advance(5 * MINUTE_MS)
  assert.equal(reports.status().certificates.alarms, 0)
  assert.deepEqual(reports.workers(), { workers: [], unexpected_exits: 0 })

  isBroken = true
  await time.advance(MINUTE_MS)
  isBroken = false
  await time.advance(5 * MINUTE_MS)
  assert.equal(reports.status().certificates.alarms, 1)
  assert.equal(reports.certs().certificates[0]?.alarm, 'dead')
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error').map(({ event }) => event),
    ['INTERNAL_ERROR'],
  )
})
