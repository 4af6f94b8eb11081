// While a certificate is ordered, every worker answers the CA's challenge, and nobody but
// the CA is ever shown what proves it; afterwards every worker serves what was issued.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { Gate } from '../../harness/gate.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import type { Pebble } from '../../harness/acme/pebble.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { Proxy } from '../../harness/proxy.ts'
import type { Handshake, HandshakeOptions } from '../../harness/clients/handshake.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import { requestPlain } from '../../harness/clients/request.ts'
import { waitFor } from '../../harness/wait.ts'

const NAMES = ['one.test', 'two.test']
const WORKERS = 3
const OPTIONS = { timeout: 120_000 }

/** More than enough for each worker to have had one. */
const ATTEMPTS = 24

/** Everything that is not exactly the CA's hello: RFC 8737 3 has a list of one protocol. */
const ORDINARY: readonly Partial<HandshakeOptions>[] = [
  { alpn: ['h2', 'http/1.1'] },
  { alpn: ['http/1.1'], maxVersion: 'TLSv1.2' },
  { alpn: undefined },
  { alpn: undefined, maxVersion: 'TLSv1.2' },
  { alpn: ['acme-tls/1', 'http/1.1'] },
  { alpn: ['h2', 'acme-tls/1'], maxVersion: 'TLSv1.2' },
]

interface Setup {
  readonly pebble: Pebble
  readonly origin: HttpOrigin
  /** Between Pebble and us. */
  readonly gate: Gate
  readonly config: FileConfig
  readonly httpsPort: number
  readonly httpPort: number
}

async function setUp(t: TestContext, challenge: 'tls-alpn-01' | 'http-01'): Promise<Setup> {
  const [httpsPort, httpPort] = [await freePort(), await freePort()]
  const pebble = await startPebble(t)
  const gate =
    challenge === 'http-01'
      ? await Gate.start(t, { port: pebble.httpPort, targetPort: httpPort })
      : await Gate.start(t, { port: pebble.tlsPort, targetPort: httpsPort })
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const config = {
    workers: WORKERS,
    listeners: [
      acmeListener({ ca: pebble, names: NAMES, httpsPort, httpPort, challenge, upstream: origin.upstream }),
    ],
  }
  return { pebble, origin, gate, config, httpsPort, httpPort }
}

test('acme: issued by tls-alpn-01 during the start, then served by every worker', OPTIONS, async (t) => {
  const { pebble, gate, config, httpsPort, httpPort } = await setUp(t, 'tls-alpn-01')
  const watch = watchOrdinaryClients(httpsPort)
  const proxy = new Proxy(t, config)
  await gate.waitForArrival()

  // A challenge is armed, in every worker: the CA's hello gets it whoever takes the connection.
  const armed = await Promise.all(
    NAMES.map(async (serverName) => await handshake({ port: httpsPort, serverName, alpn: ['acme-tls/1'] })),
  )
  const proved = NAMES.filter((_, index) => isChallenge(armed[index]))
  assert.notDeepEqual(proved, [])
  for (const serverName of proved) {
    const seen = await handshakes({ port: httpsPort, serverName, alpn: ['acme-tls/1'] })
    for (const one of seen) {
      assert.ok(isChallenge(one))
      assert.equal(one.subjectAltName, `DNS:${serverName}`)
      assert.equal(one.alpn, 'acme-tls/1')
    }
  }
  // A name that is not being proved, and every hello that is not the CA's, gets an alert; HTTP waits.
  assert.deepEqual(await handshake({ port: httpsPort, serverName: 'other.test', alpn: ['acme-tls/1'] }), {
    result: 'failed',
    code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
  })
  for (const hello of ORDINARY) {
    for (const seen of await handshakes({ port: httpsPort, serverName: proved[0], ...hello })) {
      assert.deepEqual(seen, { result: 'failed', code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' })
    }
  }
  assert.equal((await requestPlain({ host: 'one.test', port: httpPort })).status, 503)

  gate.open()
  await proxy.ready()
  await assertServedByEveryWorker(t, proxy, httpsPort)
  const seen = await watch.stop()
  assert.ok(seen.length > ATTEMPTS)
  assert.deepEqual(seen.filter(isChallenge), [])
  assert.equal(pebble.requests('newOrder'), 1)
  assert.deepEqual(await handshake({ port: httpsPort, serverName: 'one.test', alpn: ['acme-tls/1'] }), {
    result: 'failed',
    code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
  })
})

test('acme: issued by http-01 during the start, then served by every worker', OPTIONS, async (t) => {
  const { pebble, gate, config, httpsPort, httpPort } = await setUp(t, 'http-01')
  const watch = watchOrdinaryClients(httpsPort)
  const proxy = new Proxy(t, config)
  await gate.waitForArrival()

  for (const serverName of NAMES) {
    for (const seen of await handshakes({ port: httpsPort, serverName })) {
      assert.deepEqual(seen, { result: 'failed', code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' })
    }
  }
  for (const path of ['/', '/.well-known/acme-challenge/unknown']) {
    const { status, body } = await requestPlain({ host: 'one.test', port: httpPort, path })
    assert.ok(status === 503 || status === 404, `${path}: ${status}`)
    assert.doesNotMatch(body, /^\S+\.\S+$/, 'no key authorization')
  }

  gate.open()
  await proxy.ready()
  await assertServedByEveryWorker(t, proxy, httpsPort)
  assert.deepEqual((await watch.stop()).filter(isChallenge), [])
  assert.equal(pebble.requests('newOrder'), 1)
  const redirect = await requestPlain({ host: 'one.test', port: httpPort, path: '/a?b' })
  assert.equal(redirect.status, 301)
  assert.equal(redirect.headers['location'], `https://one.test:${httpsPort}/a?b`)
})

/** Opens ordinary connections one after the other, from before the ports are bound, until stopped. */
function watchOrdinaryClients(port: number): { stop(): Promise<Handshake[]> } {
  const seen: Handshake[] = []
  const stopping = new AbortController()
  const watching = (async () => {
    for (let turn = 0; !stopping.signal.aborted; turn++) {
      const serverName = NAMES[turn % NAMES.length]
      seen.push(await handshake({ port, serverName, ...ORDINARY[turn % ORDINARY.length] }))
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await watching
      return seen
    },
  }
}

async function handshakes(options: HandshakeOptions): Promise<Handshake[]> {
  return await Promise.all(Array.from({ length: ATTEMPTS }, async () => await handshake(options)))
}

function isChallenge(seen: Handshake | undefined): seen is Extract<Handshake, { result: 'connected' }> {
  return seen?.result === 'connected' && seen.isChallenge
}

/** Each request says in its path which connection it came on; the log says which worker had it. */
async function assertServedByEveryWorker(t: TestContext, proxy: Proxy, port: number): Promise<void> {
  const serials = new Set<string>()
  const workers = new Set<string>()
  let turn = 0
  await waitFor('every worker to have served the certificate', async () => {
    const batch = Array.from({ length: ATTEMPTS }, async () => {
      const host = NAMES[turn % NAMES.length]
      const path = `/turn-${turn++}`
      const client = await connectRaw(t, port, host === undefined ? {} : { serverName: host })
      const certificate = client.socket.getPeerX509Certificate()
      assert.deepEqual(
        certificate?.subjectAltName?.split(', ').toSorted(),
        NAMES.map((name) => `DNS:${name}`),
      )
      serials.add(certificate?.serialNumber ?? '')
      client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      await client.until((text) => /^HTTP\/1\.1 200 [^]*served/.test(text))
      const [, worker = ''] = await proxy.stdout.waitForLine(new RegExp(` path=${path} .* worker=(\\d+)`))
      workers.add(worker)
    })
    await Promise.all(batch)
    return workers.size === WORKERS
  })
  assert.equal(serials.size, 1, 'all serve the same certificate')
}
