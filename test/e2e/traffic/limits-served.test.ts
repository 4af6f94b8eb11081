// The limits in the program as a whole: what is counted for a client and for a worker, and what a reload
// makes of it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { askAdmin } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { waitFor } from '../../harness/wait.ts'

/** A connection that says nothing, from an address of this machine. */
async function hold(t: TestContext, port: number, from: string): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress: from })
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'connect')
  return socket
}

/** More than Node lets wait by itself, 511; no more than the kernel is set to. */
const BURST = Math.min(700, Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8')))

test('limits: connections of a client, of a worker, and heads are bounded; a reload changes that in place', async (t) => {
  const origin = await HttpOrigin.start(t, (_request, response) => response.end('ok'))
  const limits = {
    connections_per_client: 3,
    connections_per_worker: 5,
    header_bytes: 2_000,
    header_count: 20,
    request_header_timeout_secs: 60,
    tls_handshake_timeout_secs: 60,
  }
  const { proxy, httpsPort, httpPort, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 1, limits },
  })
  const client = await connectRaw(t, httpsPort, { serverName: HOST, ca: target.ca })

  // Connections on both ports count together.
  const held = [await hold(t, httpPort, '127.0.0.1'), await hold(t, httpsPort, '127.0.0.1')]
  const fourth = await hold(t, httpsPort, '127.0.0.1')
  await waitFor('the fourth connection to be closed', () => fourth.closed)
  await proxy.stdout.waitForLine(
    / WARN CONNECTION_LIMIT client_ip=127\.0\.0\.1 limit=connections_per_client count=1$/,
  )
  const others = [await hold(t, httpPort, '127.0.0.2'), await hold(t, httpPort, '127.0.0.3')]
  const sixth = await hold(t, httpPort, '127.0.0.4')
  await waitFor('the sixth connection to be closed', () => sixth.closed)
  await proxy.stdout.waitForLine(
    / WARN CONNECTION_LIMIT client_ip=127\.0\.0\.4 limit=connections_per_worker count=1$/,
  )
  assert.ok([...held, ...others].every(({ closed }) => !closed))
  client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  assert.equal((await client.response()).body, 'ok')

  const config = readFileSync(proxy.configPath, 'utf8')
  writeFileSync(
    proxy.configPath,
    config.replace(/connections_per_(client|worker) = \d/g, 'connections_per_$1 = 9'),
  )
  const { status, workers } = await askAdmin(join(proxy.directory, 'admin.sock'), 'reload')
  assert.deepEqual([status, workers], ['ok', 'kept'])
  await hold(t, httpsPort, '127.0.0.4')
  assert.equal((await request(target)).status, 200)
  client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  assert.equal((await client.response()).body, 'ok')
  assert.ok([...held, ...others].every(({ closed }) => !closed))

  // Heads: the same answer over both protocols.
  for (const headers of [
    { 'x-long': 'x'.repeat(2_000) },
    Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`x-${i}`, 'v'])),
  ]) {
    assert.equal((await request({ ...target, headers })).status, 431)
    assert.equal((await request2({ ...target, headers })).status, 431)
  }
  // What is beyond the runtime's own limits never becomes a request.
  const enormous = { 'x-long': '{'.repeat(100_000) }
  assert.equal((await request({ ...target, headers: enormous })).status, 431)
  await assert.rejects(request2({ ...target, headers: enormous }))

  // A burst waits in the kernel until somebody has time to accept it.
  const [worker = 0] = proxy.workerPids()
  process.kill(worker, 'SIGSTOP')
  try {
    const burst = Array.from({ length: BURST }, async () => await hold(t, httpsPort, '127.0.0.5'))
    const signal = AbortSignal.timeout(10_000)
    await Promise.race([
      Promise.all(burst),
      once(signal, 'abort').then(() => assert.fail('some wait in vain')),
    ])
  } finally {
    process.kill(worker, 'SIGCONT')
  }
})
