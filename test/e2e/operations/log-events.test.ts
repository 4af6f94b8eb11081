// What goes wrong has its line, with the client's address where there is one; and what clients
// write into theirs, over the wire, makes no other.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import { connect2, request } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'

const LINE =
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:DEBUG|INFO|WARN|ERROR) [A-Z_]+(?: [a-z0-9_]+=(?:[^\s"=\\]+|"(?:[^"\\]|\\["\\]|\\u[0-9a-f]{4})*"))*$/u
/** Another client's address, which no line may seem to be about. */
const FORGED = '9.9.9.9'
const TARGETS = [
  `/x"client_ip=${FORGED}`,
  `/?client_ip=${FORGED}&status=403`,
  `/\\"\tclient_ip=${FORGED}`,
  `/\u0085\u00a0client_ip=${FORGED}`,
  `/%0aWARN%20RATE_LIMIT%20client_ip=${FORGED}`,
  `/\u00e2\u0080\u00a8client_ip=${FORGED}`,
  '/\u0001\u001b[31m',
  `/${'y'.repeat(20_000)}`,
  '/\\\\\\',
]

function randomTarget(random: () => number): string {
  const bytes = Array.from(
    { length: 1 + Math.floor(random() * 40) },
    () => 0x21 + Math.floor(random() * (0x100 - 0x21)),
  )
  return `/${Buffer.from(bytes).toString('latin1')}`
}

/** Mulberry32. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

test('TLS failures, upstream errors and limits have their lines, and no client writes one of its own', async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('ok'))
  const { upstream } = origin
  const { proxy, target, httpsPort } = await serveSite(t, {
    upstream,
    config: { workers: 2, limits: { connections_per_client: 20 } },
  })

  assert.equal((await handshake({ port: httpsPort })).result, 'failed')
  await proxy.stdout.waitForLine(/ WARN TLS_REJECTED client_ip=127\.0\.0\.1 reason=no_server_name$/u)
  assert.equal((await handshake({ port: httpsPort, serverName: 'unknown.test' })).result, 'failed')
  await proxy.stdout.waitForLine(
    / WARN TLS_REJECTED client_ip=127\.0\.0\.1 reason=unknown_server_name server_name=unknown\.test$/u,
  )
  // A suite that the policy leaves out.
  const old = { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA', rejectUnauthorized: false } as const
  const refused = tls.connect({ host: '127.0.0.1', port: httpsPort, servername: HOST, ...old })
  t.after(() => refused.destroy())
  await once(refused, 'error')
  await proxy.stdout.waitForLine(/ INFO TLS_FAILED client_ip=127\.0\.0\.1 error=ERR_SSL_NO_SHARED_CIPHER$/u)
  const broken = net.connect({ host: '127.0.0.1', port: httpsPort })
  t.after(() => broken.destroy())
  broken.on('error', () => {})
  broken.write(`junk client_ip=${FORGED} WARN RATE_LIMIT\r\n\r\n`)
  await proxy.stdout.waitForLine(/ WARN TLS_REJECTED client_ip=127\.0\.0\.1 reason=not_tls$/u)

  const random = seeded(9)
  const targets = [...TARGETS, ...Array.from({ length: 60 }, () => randomTarget(random))]
  for (const path of targets) {
    const client = await connectRaw(t, httpsPort, { serverName: HOST })
    client.send(
      `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nUser-Agent: x client_ip=${FORGED}\r\nConnection: close\r\n\r\n`,
    )
    await client.closed()
  }
  for (const host of [`x client_ip=${FORGED}`, `x"client_ip=${FORGED}`, 'h'.repeat(5_000)]) {
    const client = await connectRaw(t, httpsPort, { serverName: HOST })
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    await client.closed()
    assert.match(client.received(), /^HTTP\/1.1 40[04] /u)
  }
  const session = connect2(target)
  t.after(() => session.destroy())
  for (const path of targets) {
    const stream = session.request({ ':path': path, ':authority': HOST, ':method': 'GET' })
    stream.on('error', () => {}).resume()
    await new Promise((resolve) => stream.once('close', resolve))
  }

  assert.equal((await request({ ...target, path: '/before-the-end' })).status, 200)
  origin.server.close()
  origin.server.closeAllConnections()
  assert.equal((await request({ ...target, path: '/after-it' })).status, 502)
  await proxy.stdout.waitForLine(
    new RegExp(` WARN UPSTREAM_ERROR host=${HOST} upstream=${upstream} error="connection refused"$`, 'u'),
  )

  const crowd = Array.from({ length: 60 }, () => net.connect({ host: '127.0.0.1', port: httpsPort }))
  for (const socket of crowd) socket.on('error', () => {})
  await proxy.stdout.waitForLine(
    / WARN CONNECTION_LIMIT client_ip=127\.0\.0\.1 limit=connections_per_client count=\d+$/u,
  )
  for (const socket of crowd) socket.destroy()

  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  const { lines } = proxy.stdout
  for (const line of lines) {
    assert.match(line, LINE)
    assert.ok(line.length < 4096)
    // What is in quotes is a value, and no field.
    assert.ok(!line.replaceAll(/"(?:[^"\\]|\\.)*"/gu, '""').includes(FORGED), line)
  }
  const requests = lines.filter((line) => / REQUEST /u.test(line))
  // The rest was no HTTP for the runtime's parser.
  assert.ok(requests.length > 40)
  assert.ok(requests.some((line) => line.includes('\\u00e9') || line.includes('\\u00a')))
  assert.ok(requests.every((line) => / REQUEST client_ip=127\.0\.0\.1 /u.test(line)))
  assert.ok(requests.some((line) => line.includes('yyy...')))
})
