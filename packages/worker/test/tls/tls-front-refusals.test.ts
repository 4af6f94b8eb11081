// Who is turned away, how, and what is left behind; and who is shown a challenge certificate.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { buffer } from 'node:stream/consumers'
import { before, test, type TestContext } from 'node:test'
import tls from 'node:tls'
import type { ArmedChallenge, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { LINGER_MS } from '../../src/connection/lingering-close.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { makeCertificate } from '../support/certificates.ts'
import { alpnExtension, encodeHello, encodeRecords, serverNameExtension } from '../support/client-hello.ts'
import { getOverHttp1, getOverHttp2, sClient } from '../support/clients.ts'
import { startFront, type RunningFront } from '../support/front.ts'
import { next } from '../support/sockets.ts'

const TIMEOUT = { timeout: 30_000 }

let site: PushedCertificate
let challengeCertificate: PushedCertificate
let armed: ArmedChallenge
before(() => {
  site = makeCertificate(['a.example'])
  challengeCertificate = makeCertificate(['a.example'])
  const { certPem, keyPem } = challengeCertificate
  armed = { type: 'tls-alpn-01', serverName: 'a.example', certPem, keyPem }
})

/** A raw connection, gone at the end of the test; its errors are part of what is tested. */
function connect(t: TestContext, port: number, allowHalfOpen = false): net.Socket {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen })
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  return socket
}

/** However it came about. */
async function closed(socket: net.Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.resume().once('close', () => resolve()))
}

/** All that the front says to `bytes` until it closes. */
async function answerTo(t: TestContext, port: number, bytes: Uint8Array): Promise<Buffer> {
  const socket = connect(t, port)
  socket.write(bytes)
  return await buffer(socket)
}

function fatalAlert(code: number): Buffer {
  return Buffer.of(21, 3, 3, 0, 2, 2, code)
}

/** Serial number of the certificate shown, and the protocol chosen. */
async function shownTo(
  port: number,
  options: tls.ConnectionOptions,
): Promise<{ serial: string; alpn: unknown }> {
  const socket = tls.connect({
    servername: 'a.example',
    ...options,
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
  })
  await once(socket, 'secureConnect')
  const shown = { serial: socket.getPeerCertificate().serialNumber, alpn: socket.alpnProtocol }
  socket.end()
  await closed(socket)
  return shown
}

async function nothingLeft({ connections, openSockets }: RunningFront): Promise<void> {
  await waitFor('all sockets closed', async () => (await openSockets()) === 0 && connections.open === 0)
}

test('names that nobody serves get their alert, and a line in the log', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site] })
  const { port, logged } = running
  assert.match(await sClient(port, ['-servername', 'b.example']), /SSL alert number 112/u)
  assert.match(await sClient(port, ['-noservername']), /SSL alert number 40/u)
  assert.match(await sClient(port, ['-servername', '127.0.0.1', '-tls1_2']), /SSL alert number 112/u)
  assert.match(
    await sClient(port, ['-servername', 'a.example', '-alpn', 'acme-tls/1']),
    /SSL alert number 120/u,
  )
  const line = { level: 'warn', event: 'TLS_REJECTED', client_ip: '127.0.0.1' }
  assert.deepEqual(logged, [
    { ...line, reason: 'unknown_server_name', server_name: 'b.example' },
    { ...line, reason: 'no_server_name', server_name: undefined },
    { ...line, reason: 'bad_server_name', server_name: undefined },
    { ...line, reason: 'no_challenge_armed', server_name: 'a.example' },
  ])
  await nothingLeft(running)
})

test('an alert arrives whole at a client that goes on sending', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site] })
  const hello = encodeRecords(encodeHello({ extensions: [serverNameExtension('b.example')] }))
  for (let round = 0; round < 20; round++) {
    const socket = connect(t, running.port, true)
    socket.write(Buffer.concat([hello, Buffer.alloc(200_000)]))
    socket.on('data', () => socket.write(Buffer.alloc(50_000)))
    assert.deepEqual(await next<Buffer>(socket, 'data'), fatalAlert(112))
    socket.destroy()
  }
  await nothingLeft(running)
})

test('a client that never stops sending is cut all the same', TIMEOUT, async (t) => {
  const running = await startFront(t, {})
  const socket = connect(t, running.port, true)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  socket.write(encodeRecords(encodeHello({ extensions: [] })))
  await next(socket, 'data')
  const sending = setInterval(() => socket.write('x'), 20)
  t.after(() => clearInterval(sending))
  t.mock.timers.tick(LINGER_MS - 1)
  assert.equal(running.connections.open, 1)
  t.mock.timers.tick(1)
  t.mock.timers.reset()
  await nothingLeft(running)
})

test('a challenge certificate is for clients that ask for nothing else', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site], challenges: [armed] })
  const { port, logged } = running
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const asked = await shownTo(port, { maxVersion, servername: 'A.EXAMPLE', ALPNProtocols: ['acme-tls/1'] })
    assert.deepEqual(asked, { serial: challengeCertificate.serial, alpn: 'acme-tls/1' })
    const mixed = await shownTo(port, { maxVersion, ALPNProtocols: ['acme-tls/1', 'h2'] })
    assert.deepEqual(mixed, { serial: site.serial, alpn: 'h2' })
    assert.deepEqual(await shownTo(port, { maxVersion }), { serial: site.serial, alpn: false })
  }
  const challenged = { level: 'info', event: 'CERT_ORDER', status: 'challenged', client_ip: '127.0.0.1' }
  const line = { ...challenged, server_name: 'a.example' }
  assert.deepEqual(logged, [line, line])
  await nothingLeft(running)
})

test('after the challenge handshake the front hangs up', TIMEOUT, async (t) => {
  const running = await startFront(t, { challenges: [armed] })
  for (const version of ['-tls1_2', '-tls1_3']) {
    const said = await sClient(running.port, ['-servername', 'a.example', '-alpn', 'acme-tls/1', version])
    assert.match(said, /ALPN protocol: acme-tls\/1/u)
  }
  // A client that stays gets nothing for it.
  const socket = tls.connect({
    port: running.port,
    host: '127.0.0.1',
    servername: 'a.example',
    ALPNProtocols: ['acme-tls/1'],
    rejectUnauthorized: false,
  })
  socket.resume()
  await once(socket, 'end')
  await nothingLeft(running)
})

test('a challenge client that falls silent is cut at the deadline', TIMEOUT, async (t) => {
  const running = await startFront(t, { challenges: [armed], handshakeTimeoutMs: 1_000 })
  const hello = encodeHello({
    cipherSuites: [0xc02b], // ECDHE-ECDSA-AES128-GCM-SHA256
    extensions: [
      serverNameExtension('a.example'),
      alpnExtension('acme-tls/1'),
      { type: 10, data: Buffer.of(0, 2, 0, 0x17) }, // P-256
      { type: 13, data: Buffer.of(0, 2, 4, 3) }, // ecdsa_secp256r1_sha256
    ],
  })
  const serverHello = (await answerTo(t, running.port, encodeRecords(hello))).subarray(0, 6)
  assert.deepEqual([serverHello[0], serverHello[5]], [22, 2])
  await nothingLeft(running)
  const last = running.logged.at(-1)
  assert.deepEqual([last?.level, last?.event, last?.['client_ip']], ['warn', 'TLS_FAILED', '127.0.0.1'])
})

test('before the first certificate only challenges are answered', TIMEOUT, async (t) => {
  const { port, front, logged } = await startFront(t, {
    certificates: [site],
    challenges: [armed],
    mode: 'challenge',
  })
  assert.match(await sClient(port, ['-servername', 'a.example']), /SSL alert number 112/u)
  assert.match(await sClient(port, ['-noservername']), /SSL alert number 112/u)
  assert.equal(logged[0]?.['reason'], 'starting')
  const { serial } = await shownTo(port, { ALPNProtocols: ['acme-tls/1'] })
  assert.equal(serial, challengeCertificate.serial)
  front.setServingMode('serve')
  assert.match(await getOverHttp2(port, { servername: 'a.example' }), /^a\.example /u)
})

test('connections per client: closed before TLS, admitted again when one has gone', TIMEOUT, async (t) => {
  const caps = { connectionsPerWorker: 100, connectionsPerClient: 2 }
  const running = await startFront(t, { certificates: [site], caps })
  const { port, connections, logged } = running
  const held = [connect(t, port), connect(t, port)]
  await waitFor('two connections', () => connections.open === 2)
  assert.deepEqual(await answerTo(t, port, Buffer.alloc(0)), Buffer.alloc(0))
  assert.deepEqual(
    logged.map(({ event, limit }) => [event, limit]),
    [['CONNECTION_LIMIT', 'connections_per_client']],
  )

  held[0]?.destroy()
  await waitFor('one connection', () => connections.open === 1)
  assert.match(await getOverHttp1(port, { servername: 'a.example' }), /^a\.example /u)

  connections.configure({ connectionsPerWorker: 1, connectionsPerClient: 2 })
  await waitFor('one connection', () => connections.open === 1)
  assert.deepEqual(await answerTo(t, port, Buffer.alloc(0)), Buffer.alloc(0))
  assert.equal(logged.at(-1)?.['limit'], 'connections_per_worker')
  connections.configure({ connectionsPerWorker: 2, connectionsPerClient: 2 })
  assert.match(await getOverHttp1(port, { servername: 'a.example' }), /^a\.example /u)
  held[1]?.destroy()
  await nothingLeft(running)
})

test('a hello that trickles in is cut at the deadline, however busy', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site], handshakeTimeoutMs: 1_000 })
  const hello = encodeRecords(encodeHello({ extensions: [{ type: 21, data: new Uint8Array(15_000) }] }))
  const slow = connect(t, running.port)
  let sent = 0
  const trickle = setInterval(() => slow.write(hello.subarray(sent, ++sent)), 5)
  t.after(() => clearInterval(trickle))
  const silent = connect(t, running.port)
  await Promise.all([closed(slow), closed(silent)])
  // One line, for the one that had begun; nobody hears of a connection opened ahead of need.
  assert.deepEqual(
    running.logged.map(({ reason }) => reason),
    ['timeout'],
  )
  await nothingLeft(running)
})

test('clients that leave in the middle of their hello', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site] })
  const hello = encodeRecords(encodeHello({ extensions: [serverNameExtension('a.example')] }))
  for (const bytes of [Buffer.alloc(0), hello.subarray(0, 20), hello]) {
    const polite = connect(t, running.port)
    polite.end(bytes)
    await closed(polite)
    const rude = connect(t, running.port)
    await once(rude, 'connect')
    await new Promise((resolve) => rude.write(bytes, resolve))
    rude.resetAndDestroy()
  }
  await nothingLeft(running)
  assert.deepEqual(running.logged, [])
})

test('HTTP on the TLS port is told so in HTTP, other strangers in TLS', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site] })
  const { port, logged } = running
  const answer = await answerTo(t, port, Buffer.from('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'))
  assert.equal(
    answer.toString(),
    'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 11\r\nConnection: close\r\n\r\nBad Request',
  )
  assert.deepEqual(await answerTo(t, port, Buffer.from('SSH-2.0-x\r\n')), fatalAlert(10))
  assert.deepEqual(await answerTo(t, port, Buffer.of(0x80, 46, 1, 3, 1)), fatalAlert(70))
  assert.deepEqual(await answerTo(t, port, Buffer.of(22, 3, 1, 0, 0)), fatalAlert(50))
  assert.deepEqual(await answerTo(t, port, encodeRecords(Buffer.of(1, 0xff, 0xff, 0xff))), fatalAlert(50))
  assert.deepEqual(
    logged.map(({ reason }) => reason),
    ['http', 'not_tls', 'sslv2', 'malformed', 'too_large'],
  )
  await nothingLeft(running)
})

test('five hundred connections of random bytes leave nothing behind', TIMEOUT, async (t) => {
  const running = await startFront(t, { certificates: [site], handshakeTimeoutMs: 3_000 })
  const hello = encodeRecords(encodeHello({ extensions: [serverNameExtension('a.example')] }))
  await Promise.all(
    Array.from({ length: 500 }, async (_, i) => {
      const socket = connect(t, running.port)
      const noise = Buffer.from(Array.from({ length: 1 + (i % 300) }, () => Math.floor(Math.random() * 256)))
      // A third begins like TLS, a third is a hello that TLS itself will find wanting.
      socket.write(
        [noise, Buffer.concat([Buffer.of(22, 3, 1), noise]), Buffer.concat([hello, noise])][i % 3] ?? noise,
      )
      if (i % 5 === 0) socket.end()
      await closed(socket)
    }),
  )
  await nothingLeft(running)
  assert.match(await getOverHttp1(running.port, { servername: 'a.example' }), /^a\.example /u)
})

test('close cuts what has not been handed over, and nothing else', TIMEOUT, async (t) => {
  const { port, front, connections } = await startFront(t, { certificates: [site] })
  const served = tls.connect({ port, host: '127.0.0.1', servername: 'a.example', rejectUnauthorized: false })
  t.after(() => served.destroy())
  await once(served, 'secureConnect')
  const waiting = connect(t, port)
  await waitFor('both connections', () => connections.open === 2)
  front.close()
  front.close()
  await closed(waiting)
  served.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.match((await next<Buffer>(served, 'data')).toString(), /^HTTP\/1\.1 200 /u)
  assert.equal(connections.open, 1)
})
