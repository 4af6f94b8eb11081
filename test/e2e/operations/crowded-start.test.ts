// Many workers on a machine whose processors are all busy: the start is slow, and nothing worse.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { freePort } from '../../harness/ports.ts'
import { childrenOf } from '../../harness/processes.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { Proxy } from '../../harness/proxy.ts'
import { IS_FULL } from '../../harness/size.ts'
import { waitFor } from '../../harness/wait.ts'

const WORKERS = IS_FULL ? 64 : 12
const PATIENCE_MS = IS_FULL ? 500_000 : 55_000
const TEST = { timeout: PATIENCE_MS + 30_000 }

async function crowd(): Promise<FileConfig> {
  return {
    workers: WORKERS,
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: await freePort(),
        http_port: await freePort(),
        tls: { mode: 'internal' },
        sites: [{ host: 'site.test', upstream: '127.0.0.1:1' }],
      },
    ],
  }
}

/** One busy loop for each processor, as nice as a build that somebody runs beside the proxy. */
function keepProcessorsBusy(t: TestContext): void {
  for (let count = 0; count < availableParallelism(); count++) {
    const loop = spawn('nice', ['-n', '5', 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' })
    t.after(() => loop.kill('SIGKILL'))
  }
}

function linesOf(proxy: Proxy, event: string): string[] {
  return proxy.stdout.lines.filter((line) => line.includes(` ${event} `))
}

test(
  `${WORKERS} workers boot a few at a time beside busy processors, and none is given up`,
  TEST,
  async (t) => {
    keepProcessorsBusy(t)
    const proxy = new Proxy(t, await crowd())
    let most = 0
    await waitFor(
      'every worker to be ready',
      () => {
        const ready = linesOf(proxy, 'WORKER_READY').length
        // The line of a worker that has just become ready may be unread.
        most = Math.max(most, childrenOf(proxy.pid).length - ready)
        return linesOf(proxy, 'READY').length > 0
      },
      PATIENCE_MS,
    )
    assert.deepEqual(linesOf(proxy, 'WORKER_EXIT'), [])
    assert.equal(linesOf(proxy, 'WORKER_READY').length, WORKERS)
    assert.ok(most < WORKERS / 2, `${most} of ${WORKERS} workers booted at once`)
    assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
    await proxy.assertNoProcessLeft()
  },
)

test(
  `SIGTERM in the midst of a start of ${WORKERS} workers: no more are forked, and nothing is left`,
  TEST,
  async (t) => {
    keepProcessorsBusy(t)
    const proxy = new Proxy(t, await crowd())
    const forked = new Set<number>()
    await waitFor(
      'the first worker to be ready',
      () => {
        for (const pid of childrenOf(proxy.pid)) forked.add(pid)
        return linesOf(proxy, 'WORKER_READY').length > 0
      },
      PATIENCE_MS,
    )
    proxy.signal('SIGTERM')
    await waitFor(
      'it to be gone',
      () => {
        for (const pid of childrenOf(proxy.pid)) forked.add(pid)
        return proxy.hasExited
      },
      PATIENCE_MS,
    )
    assert.deepEqual(await proxy.exited, { code: 0, signal: null })
    await proxy.assertNoProcessLeft()
    assert.ok(forked.size < WORKERS, `all ${forked.size} workers were forked before the signal was heard`)
    assert.equal(linesOf(proxy, 'READY').length, 0)
    for (const line of linesOf(proxy, 'WORKER_EXIT')) assert.doesNotMatch(line, /in time|drain time/u)
  },
)
