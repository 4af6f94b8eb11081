// What the front serves, over real sockets: node, curl and openssl as clients.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http2 from 'node:http2'
import { text } from 'node:stream/consumers'
import { before, test } from 'node:test'
import tls from 'node:tls'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { makeCertificate } from '../support/certificates.ts'
import { curl, getOverHttp1, getOverHttp2, sClient } from '../support/clients.ts'
import { startFront } from '../support/front.ts'
import { relayInPieces } from '../support/pieces.ts'
import { next } from '../support/sockets.ts'

const TIMEOUT = { timeout: 20_000 }

let site: PushedCertificate
before(() => {
  site = makeCertificate(['a.example', '*.a.example'])
})

/** The fixture's answer to a request on `certificate`. */
function answer(serverName: string, certificate: PushedCertificate): string {
  return `${serverName} ${certificate.serial} 127.0.0.1`
}

test('HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3', TIMEOUT, async (t) => {
  const { port, logged } = await startFront(t, { certificates: [site] })
  const expected = answer('a.example', site)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    assert.equal(await getOverHttp1(port, { servername: 'a.example', maxVersion }), expected)
    assert.equal(await getOverHttp2(port, { servername: 'a.example', maxVersion }), expected)
  }
  assert.equal(await curl(port, 'a.example'), `${expected}|2|0`)
  assert.equal(await curl(port, 'a.example', ['--http1.1', '--tls-max', '1.2']), `${expected}|1.1|0`)
  const get = 'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n'
  assert.ok((await sClient(port, ['-quiet', '-servername', 'a.example'], get)).includes(expected))
  assert.deepEqual(logged, [])
})

test('a name is served however it is spelled, and under a wildcard', TIMEOUT, async (t) => {
  const { port } = await startFront(t, { certificates: [site] })
  assert.equal(await getOverHttp1(port, { servername: 'A.Example' }), answer('a.example', site))
  assert.equal(await getOverHttp2(port, { servername: 'WWW.a.example' }), answer('www.a.example', site))
})

test('a ClientHello in 50-byte pieces, and byte by byte', TIMEOUT, async (t) => {
  const { port } = await startFront(t, { certificates: [site] })
  for (const pieceBytes of [50, 1]) {
    const relayPort = await relayInPieces(t, port, pieceBytes)
    // The key share for X25519MLKEM768 makes it 1.5 KB and more.
    const options = { servername: 'a.example', ecdhCurve: 'X25519MLKEM768:X25519' }
    assert.equal(await getOverHttp1(relayPort, options), answer('a.example', site))
    assert.equal(await getOverHttp2(relayPort, options), answer('a.example', site))
  }
})

test('the policy: versions, suites, groups, no renegotiation', TIMEOUT, async (t) => {
  const rsa = makeCertificate(['rsa.example'], { key: 'rsa' })
  const { port } = await startFront(t, { certificates: [site, rsa] })
  const negotiate = async (...args: readonly string[]) =>
    await sClient(port, ['-servername', 'a.example', ...args])
  assert.match(await negotiate('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'), /alert protocol version/u)
  assert.match(await negotiate('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA256'), /alert handshake failure/u)
  assert.match(
    await negotiate('-tls1_2', '-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305'),
    /alert handshake failure/u,
  )
  assert.match(
    await negotiate('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256'),
    /Cipher is ECDHE-ECDSA-AES128/u,
  )
  assert.match(await negotiate('-groups', 'P-521'), /alert handshake failure/u)
  assert.match(await negotiate('-groups', 'P-384'), /Server Temp Key: ECDH, (?:P-384|secp384r1)/u)
  for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
    assert.ok((await negotiate('-ciphersuites', suite)).includes(`Cipher is ${suite}`))
  }
  const overRsa = await sClient(port, ['-servername', 'rsa.example', '-tls1_2'])
  assert.match(overRsa, /Cipher is ECDHE-RSA-AES\d+-GCM-SHA\d+/u)
  assert.match(await sClient(port, ['-servername', 'a.example', '-tls1_2'], 'R\n'), /no renegotiation/u)
})

test(
  'new certificates serve the next handshake; connections keep what they began with',
  TIMEOUT,
  async (t) => {
    const { port, contexts, served } = await startFront(t, { certificates: [site] })
    const session = http2.connect(`https://127.0.0.1:${port}`, {
      servername: 'a.example',
      rejectUnauthorized: false,
    })
    t.after(() => session.destroy())
    assert.equal(await text(session.request({ ':path': '/' })), answer('a.example', site))

    const renewed = makeCertificate(['a.example'])
    contexts.replace([renewed])
    assert.equal(await getOverHttp1(port, { servername: 'a.example' }), answer('a.example', renewed))
    assert.equal(await text(session.request({ ':path': '/' })), answer('a.example', site))

    const { keyPem } = site
    assert.throws(
      () => contexts.replace([site, { ...renewed, certPem: makeCertificate(['x']).certPem, keyPem }]),
      {
        code: 'CERTIFICATE',
      },
    )
    assert.equal(await getOverHttp1(port, { servername: 'a.example' }), answer('a.example', renewed))
    assert.equal(served.length, 3)
  },
)

test('a resumed TLS 1.2 connection is known by the name in its hello', TIMEOUT, async (t) => {
  const { port, served } = await startFront(t, { certificates: [site] })
  const options = { servername: 'a.example', maxVersion: 'TLSv1.2' } as const
  const first = tls.connect({ ...options, port, host: '127.0.0.1', rejectUnauthorized: false })
  const session = await next<Buffer>(first, 'session')
  first.destroy()
  assert.equal(await getOverHttp1(port, { ...options, session }), answer('a.example', site))
  const last = served.at(-1)
  assert.equal(last?.resumed, true)
  assert.equal(last?.socket.servername, false)
})

test('what was peeked outlives the connection', TIMEOUT, async (t) => {
  const { port, served } = await startFront(t, { certificates: [site] })
  await getOverHttp1(port, { servername: 'a.example' })
  const last = served[0]
  assert.ok(last !== undefined)
  if (!last.socket.closed) await once(last.socket, 'close')
  assert.equal(last.socket.remoteAddress, undefined)
  assert.equal(last.info.clientIp, '127.0.0.1')
})

test(
  'a session resumes in another worker, on a renewed certificate, until the ticket keys change',
  TIMEOUT,
  async (t) => {
    const ticketKeys = randomBytes(48)
    const one = await startFront(t, { certificates: [site], ticketKeys })
    const other = await startFront(t, { certificates: [site], ticketKeys })
    const connect = async (running: typeof one, options: tls.ConnectionOptions): Promise<boolean> => {
      const body = await getOverHttp1(running.port, { servername: 'a.example', ...options })
      assert.match(body, /^a\.example /u)
      return running.served.at(-1)?.resumed === true
    }
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const { contexts } of [one, other]) {
        contexts.replace([site])
        contexts.setTicketKeys(ticketKeys)
      }
      const first = tls.connect({
        servername: 'a.example',
        maxVersion,
        port: one.port,
        host: '127.0.0.1',
        rejectUnauthorized: false,
      })
      const session = await next<Buffer>(first, 'session')
      first.destroy()
      assert.equal(await connect(other, { maxVersion, session }), true, maxVersion)

      other.contexts.replace([makeCertificate(['a.example'])])
      assert.equal(await connect(other, { maxVersion, session }), true, maxVersion)

      const nextKeys = randomBytes(48)
      other.contexts.setTicketKeys(nextKeys)
      assert.equal(await connect(other, { maxVersion, session }), false, maxVersion)
      other.contexts.setTicketKeys(ticketKeys)
      assert.equal(await connect(other, { maxVersion, session }), true, maxVersion)
    }
  },
)
