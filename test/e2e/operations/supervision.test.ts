// Workers and supervisors that are killed, stopped, or cannot start, under load.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { parse } from 'smol-toml'
import { startBusySite } from '../../harness/busy-site.ts'
import { askAdmin, runCommand } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { isAlive } from '../../harness/processes.ts'
import type { Proxy } from '../../harness/proxy.ts'
import { startProxy } from '../../harness/proxy.ts'
import { request } from '../../harness/clients/request.ts'
import { serveSite } from '../../harness/site.ts'
import { runTool } from '../../harness/system/tool.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }
const COUNTS = {
  freshPerSecond: 20,
  keptConnections: 10,
  http2Connections: 1,
  http2Streams: 5,
  uploads: 1,
  webSockets: 0,
}
/** What a client sees of a connection whose worker was killed. */
const CUT =
  /ECONNRESET|socket hang up|ERR_HTTP2_STREAM_ERROR|ERR_HTTP2_SESSION_ERROR|closed without an answer|EPIPE/

test(
  'kill -9 of every worker in turn: only what is in flight in it fails, and it is replaced at once',
  TEST,
  async (t) => {
    const { proxy, tally, moreOfEverything, endClients } = await startBusySite(t, COUNTS)
    const delays: number[] = []
    for (const pid of proxy.workerPids()) {
      const workersReady = linesOf(proxy, 'WORKER_READY').length
      const killedAtMs = performance.now()
      process.kill(pid, 'SIGKILL')
      await waitFor('a successor', () => linesOf(proxy, 'WORKER_READY').length === workersReady + 1)
      delays.push(Math.round(performance.now() - killedAtMs))
      await moreOfEverything()
    }
    await endClients()
    for (const failure of tally.failures) assert.match(failure, CUT)
    // One in flight for each kept connection, stream and upload at most, and as many fresh ones.
    assert.ok(tally.failures.length <= 2 * 40, tally.failures.join('\n'))
    for (const line of linesOf(proxy, 'WORKER_EXIT'))
      assert.match(line, / ERROR WORKER_EXIT .* signal=SIGKILL reason="killed: perhaps out of memory"$/)
    t.diagnostic(
      `at full strength again after ${delays.join(' and ')} ms; ${tally.failures.length} requests cut; ${String(tally)}`,
    )
  },
)

// Both wait for most of their time.
describe('silence', { concurrency: true }, () => {
  it(
    'SIGSTOP of a worker: it is found out by its silence, said in the log, and replaced',
    TEST,
    async (t) => {
      const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
      const { proxy, target } = await serveSite(t, { upstream: origin.upstream })
      const [stopped = 0] = proxy.workerPids()
      process.kill(stopped, 'SIGSTOP')
      await proxy.stdout.waitForLine(/ ERROR WORKER_EXIT .* signal=SIGKILL reason="silent for 10 s"$/, 30_000)
      await waitFor('a successor', () => linesOf(proxy, 'WORKER_READY').length === 3)
      assert.equal(isAlive(stopped), false)
      for (let count = 0; count < 10; count++) assert.equal((await request(target)).status, 200)
    },
  )

  it(
    'SIGSTOP of the supervisor for longer than its patience: no worker is blamed when it goes on',
    TEST,
    async (t) => {
      const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
      const { proxy, target } = await serveSite(t, { upstream: origin.upstream })
      const workers = proxy.workerPids()
      const stoppedAtMs = performance.now()
      process.kill(proxy.pid, 'SIGSTOP')
      await waitFor('its patience to be over', () => performance.now() - stoppedAtMs > 12_000, 20_000)
      assert.equal((await request(target)).status, 200)
      process.kill(proxy.pid, 'SIGCONT')
      // It has gone through its deadlines when it answers.
      assert.equal((await runCommand(proxy, 'status', '--json')).code, 0)
      assert.deepEqual(proxy.workerPids(), workers)
      assert.deepEqual(linesOf(proxy, 'WORKER_EXIT'), [])
    },
  )
})

test(
  'a reload whose fresh worker cannot start: the old ones stay, the caller is told why, and mended it goes through',
  TEST,
  async (t) => {
    const { proxy, tally, moreOfEverything, endClients } = await startBusySite(t, COUNTS)
    const workers = proxy.workerPids()
    const taken = createServer().listen(await freePort(), '127.0.0.1')
    await once(taken, 'listening')
    const address = taken.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const before = readFileSync(proxy.configPath, 'utf8')
    writeFileSync(proxy.configPath, before.replace(/http_port = \d+/u, `http_port = ${port}`))
    const refused = await runCommand(proxy, 'reload', '--json')
    assert.equal(refused.code, 1)
    assert.match(
      JSON.parse(refused.stdout).message,
      new RegExp(`port ${port} on 127\\.0\\.0\\.1 is taken by .*\\(pid ${process.pid}\\)`),
    )
    await moreOfEverything()
    assert.deepEqual(proxy.workerPids(), workers)

    writeFileSync(proxy.configPath, before)
    assert.equal((await runCommand(proxy, 'reload', '--json')).code, 0)
    taken.close()
    await once(taken, 'close')
    writeFileSync(proxy.configPath, before.replace(/http_port = \d+/u, `http_port = ${port}`))
    const applied = await runCommand(proxy, 'reload', '--json')
    assert.equal(JSON.parse(applied.stdout).workers, 'replaced', applied.stdout)
    await moreOfEverything()
    await endClients()
    assert.deepEqual(tally.failures, [])
  },
)

test(
  'SIGTTOU while a roll is under way: it ends well, with one worker fewer until the next reload; many restarts at once are two',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const { proxy, target } = await serveSite(t, { upstream: origin.upstream })
    proxy.signal('SIGHUP')
    await waitFor('the first fresh worker', () => linesOf(proxy, 'WORKER_READY').length === 3)
    proxy.signal('SIGTTOU')
    const [reload] = await proxy.stdout.waitForLine(/ CONFIG_RELOAD .*/)
    assert.match(reload, / status=success /)
    await waitFor('one worker to be left', () => proxy.workerPids().length === 1)
    assert.equal((await request(target)).status, 200)

    // The file says two; who asked is told when both serve.
    const socketPath = join(proxy.directory, 'admin.sock')
    assert.equal((await askAdmin(socketPath, 'reload')).workers, 'kept')
    const { workers, generation } = await askAdmin(socketPath, 'status')
    assert.equal(workers.ready, 2)

    // Everyone who asks has fresh workers afterwards; those who wait together get the same ones.
    const restarts = await Promise.all(
      Array.from({ length: 8 }, async () => await askAdmin(socketPath, 'restart')),
    )
    for (const restart of restarts) assert.equal(restart.workers, 'replaced')
    assert.ok((await askAdmin(socketPath, 'status')).generation <= generation + 2)

    // The file is not read by it: what was said by signals still holds.
    proxy.signal('SIGTTIN')
    await proxy.stdout.waitForLine(/ RESIZE workers=3/)
    assert.equal((await askAdmin(socketPath, 'restart')).workers, 'replaced')
    assert.equal((await askAdmin(socketPath, 'status')).workers.ready, 3)
    assert.doesNotMatch(proxy.stdout.text, / ERROR /)
  },
)

test('a system that gives no process: said, tried again, and well when it gives one', TEST, async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const { proxy, target } = await serveSite(t, { upstream: origin.upstream, config: { workers: 1 } })
  await runTool('prlimit', ['--pid', String(proxy.pid), '--nofile=10:4096'])
  const [worker = 0] = proxy.workerPids()
  process.kill(worker, 'SIGKILL')
  await proxy.stdout.waitForLine(/ ERROR WORKER_BOOT_FAILED error="no worker can be forked: /)
  await runTool('prlimit', ['--pid', String(proxy.pid), '--nofile=4096:4096'])
  await waitFor('a successor', () => linesOf(proxy, 'WORKER_READY').length === 2)
  assert.equal((await request(target)).status, 200)
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
})

test(
  'kill -9 of the supervisor: what is in flight finishes, nothing is left, and the next start succeeds at once',
  TEST,
  async (t) => {
    const held: (() => void)[] = []
    const origin = await HttpOrigin.start(t, (incoming, response) => {
      if (incoming.url === '/held') held.push(() => void response.end('finished'))
      else response.end('served')
    })
    const { proxy, target } = await serveSite(t, { upstream: origin.upstream })
    const workers = proxy.workerPids()
    const inFlight = [request({ ...target, path: '/held' }), request({ ...target, path: '/held' })]
    await waitFor('two requests to be with the upstream', () => held.length === 2)
    process.kill(proxy.pid, 'SIGKILL')
    assert.ok(existsSync(join(proxy.directory, 'admin.sock')), 'a stale socket is what the next start finds')

    const config = parse(readFileSync(proxy.configPath, 'utf8'))
    const next = await startProxy(t, config, { directory: proxy.directory })
    assert.equal((await request(target)).status, 200)
    assert.equal((await runCommand(next, 'status', '--json')).code, 0)
    for (const finish of held) finish()
    for (const answer of await Promise.all(inFlight)) assert.equal(answer.body, 'finished')
    await waitFor('the orphans to be gone', () => !workers.some((pid) => isAlive(pid)))
  },
)

function linesOf(proxy: Proxy, event: string): string[] {
  return proxy.stdout.lines.filter((line) => line.includes(` ${event} `))
}
