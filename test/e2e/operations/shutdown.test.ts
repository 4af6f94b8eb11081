// Told to stop, the program finishes what is in flight, takes nothing new, and is gone.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { connect2, request, requestOn } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { waitFor } from '../../harness/wait.ts'
import { holdWebSocket } from '../../harness/clients/websocket.ts'

test('SIGTERM: requests in flight finish, new connections are refused, exit code 0', async (t) => {
  const held: ServerResponse[] = []
  const origin = await HttpOrigin.start(t, (incoming, response) => {
    if (incoming.url === '/held') held.push(response)
    else response.end('quick')
  })
  const { proxy, httpsPort, httpPort, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { shutdown_timeout_secs: 20 },
  })
  const session = connect2(target)
  t.after(() => session.destroy())
  const inFlight = [
    request({ ...target, path: '/held' }),
    request({ ...target, path: '/held' }),
    requestOn(session, { ...target, path: '/held' }),
  ]
  await waitFor('three requests to be with the upstream', () => held.length === 3)

  proxy.signal('SIGTERM')
  await proxy.stdout.waitForLine(/ INFO STOPPING /)
  await waitFor('new connections to be refused', async () => {
    const attempts = [httpsPort, httpPort].map(async (port) => await handshake({ port, serverName: HOST }))
    return (await Promise.all(attempts)).every(
      (seen) => seen.result === 'failed' && seen.code === 'ECONNREFUSED',
    )
  })
  assert.equal(proxy.hasExited, false)
  for (const response of held) response.end('finished')
  for (const answer of await Promise.all(inFlight)) {
    assert.equal(answer.status, 200)
    assert.equal(answer.body, 'finished')
  }

  assert.deepEqual(await proxy.exited, { code: 0, signal: null })
  await proxy.stdout.waitForLine(/ INFO STOPPED /)
  await proxy.assertNoProcessLeft()
  assert.equal(existsSync(join(proxy.directory, 'admin.sock')), false)
})

test('SIGTERM under load: no request that was taken is lost', async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const { proxy, target } = await serveSite(t, { upstream: origin.upstream })
  const seen = { served: 0, other: [] as string[] }
  const client = async () => {
    for (;;) {
      try {
        const answer = await request(target)
        if (answer.status === 200 && answer.body === 'served') seen.served++
        else seen.other.push(String(answer.status))
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
        if (code === 'ECONNREFUSED') return
        seen.other.push(code)
      }
    }
  }
  const clients = Array.from({ length: 8 }, client)
  await waitFor('the load to be on', () => seen.served > 50)
  assert.deepEqual(await proxy.stop('SIGTERM'), { code: 0, signal: null })
  await Promise.all(clients)
  // A connection that the kernel had queued, but no worker had taken yet, may end unanswered.
  assert.deepEqual(
    seen.other.filter((what) => !['ECONNRESET', 'EPIPE'].includes(what)),
    [],
  )
})

test('SIGTERM with a request that never ends: cut when the time for draining is up, exit code 0', async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.writeHead(200).flushHeaders())
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { shutdown_timeout_secs: 1 },
  })
  const endless = request(target).then(
    () => 'completed',
    () => 'cut',
  )
  await waitFor('the request to be with the upstream', () => origin.requests.length === 1)
  assert.deepEqual(await proxy.stop('SIGTERM'), { code: 0, signal: null })
  assert.equal(await endless, 'cut')
})

test('a second SIGINT cuts at once, and says so where that can be said', async (t) => {
  const origin = await HttpOrigin.start(t, () => {})
  const webSockets = new WebSocketServer({ server: origin.server })
  t.after(() => webSockets.close())
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { shutdown_timeout_secs: 600 },
  })
  const endless = request(target).catch(() => 'cut')
  const { closed } = await holdWebSocket(t, target)
  await waitFor('the request to be with the upstream', () => origin.requests.length === 2)
  proxy.signal('SIGINT')
  await proxy.stdout.waitForLine(/ INFO STOPPING /)
  assert.deepEqual(await proxy.stop('SIGINT'), { code: 0, signal: null })
  assert.equal(await endless, 'cut')
  assert.equal(await closed, 1001)
  const exits = proxy.stdout.lines.filter((line) => line.includes(' WORKER_EXIT '))
  for (const line of exits) assert.match(line, / WARN .* code=0 reason=SIGINT$/)
})
