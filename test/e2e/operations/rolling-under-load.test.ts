// Workers are replaced under a load of every kind of client, and nobody notices.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { startBusySite } from '../../harness/busy-site.ts'
import type { ClientCounts } from '../../harness/clients/clients.ts'
import type { Proxy } from '../../harness/proxy.ts'
import { IS_FULL } from '../../harness/size.ts'
import { runTool } from '../../harness/system/tool.ts'
import { PROGRAM } from '../../harness/proxy.ts'
import { waitFor } from '../../harness/wait.ts'

const ROLLS = IS_FULL ? 10 : 2
const WORKERS = 2
const COUNTS: ClientCounts = IS_FULL
  ? {
      freshPerSecond: 200,
      keptConnections: 50,
      http2Connections: 10,
      http2Streams: 10,
      uploads: 5,
      webSockets: 5,
    }
  : {
      freshPerSecond: 20,
      keptConnections: 10,
      http2Connections: 2,
      http2Streams: 5,
      uploads: 2,
      webSockets: 2,
    }
/**
 * Longer than two rolls take, so that those in a row have to wait; WebSockets are kept as long. Nothing else needs it,
 * unless the machine is so busy that the upstream takes as long to answer.
 */
const DRAIN_SECS = IS_FULL ? 5 : 4
const TEST = { timeout: IS_FULL ? 300_000 : 60_000 }

test('SIGHUP with a changed file, again and again under load: not one request fails', TEST, async (t) => {
  const { proxy, tally, moreOfEverything, endClients } = await startBusySite(t, COUNTS, {
    shutdown_timeout_secs: DRAIN_SECS,
  })
  for (let roll = 1; roll <= ROLLS; roll++) {
    changeFile(proxy, roll)
    proxy.signal('SIGHUP')
    await waitFor(`roll ${roll}`, () => reloadsOf(proxy).length === roll, 30_000)
  }
  await waitFor(
    'the old workers to be gone',
    () => linesOf(proxy, 'WORKER_EXIT').length === ROLLS * WORKERS,
    30_000,
  )
  await moreOfEverything()
  await endClients()

  assert.deepEqual(tally.failures, [])
  assertNoneCut(proxy)
  for (const line of reloadsOf(proxy)) assert.match(line, / status=success .* workers=replaced /)
  for (const line of linesOf(proxy, 'WORKER_EXIT')) assert.match(line, / code=0$/)
  if (IS_FULL) assert.ok(linesOf(proxy, 'ROLL_WAITING').length > 0, 'they came faster than drains end')
  assert.ok((tally.repeated['WebSockets'] ?? 0) >= COUNTS.webSockets, 'each WebSocket was told to go away')
  t.diagnostic(String(tally))
})

test(
  'a reload in place under load: no request fails, no WebSocket notices, no worker is replaced',
  TEST,
  async (t) => {
    const { proxy, tally, moreOfEverything, endClients } = await startBusySite(t, COUNTS)
    const workers = proxy.workerPids()
    for (let reload = 1; reload <= ROLLS; reload++) {
      changeFile(proxy, reload)
      const report = await runTool(process.execPath, [
        PROGRAM,
        'reload',
        '--json',
        '--config',
        proxy.configPath,
      ])
      assert.equal(JSON.parse(report).workers, 'kept')
      await moreOfEverything()
    }
    await endClients()
    assert.deepEqual(tally.failures, [])
    assert.deepEqual(tally.repeated, {})
    assertNoneCut(proxy)
    assert.deepEqual(proxy.workerPids(), workers)
  },
)

/** What a client had to repeat was never begun here. */
function assertNoneCut(proxy: Proxy): void {
  assert.deepEqual(
    linesOf(proxy, 'REQUEST').filter((line) => line.includes(' status=499 ')),
    [],
  )
}

function changeFile({ configPath }: Proxy, version: number): void {
  const text = readFileSync(configPath, 'utf8')
  writeFileSync(configPath, text.replace(/limit_bytes = \d+/u, `limit_bytes = ${1_000_000 + version}`))
}

/** The outcome of each reload, without the warnings that came with it. */
function reloadsOf(proxy: Proxy): string[] {
  return linesOf(proxy, 'CONFIG_RELOAD').filter((line) => line.includes(' status='))
}

function linesOf(proxy: Proxy, event: string): string[] {
  return proxy.stdout.lines.filter((line) => line.includes(` ${event} `))
}
