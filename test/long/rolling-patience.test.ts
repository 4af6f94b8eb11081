// A roll that comes too soon waits for older workers to end; not for longer than 30 s, and then they are
// told to go. Waits for that long, and for a worker that hangs where it boots: in the long run only.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parse } from 'smol-toml'
import { WebSocketServer } from 'ws'
import { askAdmin } from '../harness/admin.ts'
import { HttpOrigin } from '../harness/http-origin.ts'
import { Proxy } from '../harness/proxy.ts'
import { request } from '../harness/clients/request.ts'
import { serveSite } from '../harness/site.ts'
import { IS_FULL } from '../harness/size.ts'
import { waitFor } from '../harness/wait.ts'
import { holdWebSocket } from '../harness/clients/websocket.ts'

const TEST = { timeout: 120_000, skip: IS_FULL ? false : 'it waits for half a minute' }

describe('patience', { concurrency: true }, () => {
  it(
    'a third old generation: the roll waits, and after 30 s its WebSocket is told to go away',
    TEST,
    async (t) => {
      const origin = await HttpOrigin.start(t, (_incoming, response) => response.end())
      const webSockets = new WebSocketServer({ server: origin.server })
      t.after(() => webSockets.close())
      const { proxy, target } = await serveSite(t, {
        upstream: origin.upstream,
        config: { workers: 1, shutdown_timeout_secs: 600 },
      })
      const socketPath = join(proxy.directory, 'admin.sock')
      const first = await holdWebSocket(t, target)
      assert.equal((await askAdmin(socketPath, 'restart')).status, 'ok')
      const second = await holdWebSocket(t, target)
      let secondIsOpen = true
      void second.closed.then(() => (secondIsOpen = false))
      assert.equal((await askAdmin(socketPath, 'restart')).status, 'ok')

      const startedMs = performance.now()
      const third = askAdmin(socketPath, 'restart')
      await proxy.stdout.waitForLine(
        / INFO ROLL_WAITING generation=4 waits_for="older workers .*" timeout_ms=/,
      )
      assert.equal((await askAdmin(socketPath, 'status')).roll, 'waiting')
      assert.equal(await first.closed, 1001)
      const waitedMs = performance.now() - startedMs
      assert.equal((await third).workers, 'replaced')
      assert.ok(waitedMs > 29_000 && waitedMs < 45_000, String(waitedMs))
      assert.ok(secondIsOpen)
      const exits = proxy.stdout.lines.filter((line) => line.includes(' WORKER_EXIT '))
      assert.equal(exits.length, 1)
      assert.match(exits[0] ?? '', / WARN .* code=0 reason="too many generations are draining"$/)

      // The others have 600 s, unless they are told twice.
      proxy.signal('SIGINT')
      await proxy.stdout.waitForLine(/ INFO STOPPING /)
      assert.deepEqual(await proxy.stop('SIGINT'), { code: 0, signal: null })
      assert.equal(await second.closed, 1001)
    },
  )

  it(
    'a start whose worker hangs while it boots: it is killed after 30 s, and the next one serves',
    TEST,
    async (t) => {
      const origin = await HttpOrigin.start(t, (_incoming, response) => response.end())
      const { proxy: before, target } = await serveSite(t, {
        upstream: origin.upstream,
        config: { workers: 1 },
      })
      await before.stop()
      const config = parse(readFileSync(before.configPath, 'utf8'))
      const proxy = new Proxy(t, config, { directory: before.directory })
      const worker = await waitFor('a worker to boot', () => proxy.workerPids()[0] ?? false)
      process.kill(worker, 'SIGSTOP')
      await proxy.stdout.waitForLine(/ ERROR WORKER_EXIT .* reason="did not become ready in time"$/, 60_000)
      await proxy.ready()
      assert.equal((await request(target)).status, 200)
    },
  )
})
