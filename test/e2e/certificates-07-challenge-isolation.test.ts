// SPEC 5: while names are being proved, the CA gets its answer from whichever worker, and nobody else notices.
// The order is one that a reload asks for: everything is served meanwhile, and every worker is replaced.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { startAcmeFaultProxy } from '../harness/acme-fault-proxy.ts'
import type { AcmeFaultProxy } from '../harness/acme-fault-proxy.ts'
import type { Behaviour } from '../harness/acme/exchange.ts'
import { listOf, parseObject } from '../harness/acme/request.ts'
import { Gate } from '../harness/gate.ts'
import { HttpOrigin } from '../harness/http-origin.ts'
import type { Pebble } from '../harness/pebble.ts'
import { startPebble } from '../harness/pebble.ts'
import { freePort } from '../harness/ports.ts'
import type { FileConfig } from '../harness/proxy.ts'
import { startProxy, writeConfig } from '../harness/proxy.ts'
import type { Proxy } from '../harness/proxy.ts'
import type { Handshake, RawClientOptions } from '../harness/raw-client.ts'
import { handshake } from '../harness/raw-client.ts'
import { requestPlain } from '../harness/request.ts'
import { waitFor } from '../harness/wait.ts'

const IS_FULL = process.env['REVERSE_PROXY_TEST_SIZE'] === 'full'
const ORDINARY_HANDSHAKES = IS_FULL ? 10_000 : 400
const KILLS = IS_FULL ? 12 : 3
const WORKERS = 3
/** As many as the largest CA has. */
const PERSPECTIVES = 6
/** More than enough for each worker to have had one. */
const ATTEMPTS = 24
/** Connections at a time. */
const CLIENTS = 6

const ALPN_NAMES = ['one.test', 'two.test']
const ALPN_ADDED = 'three.test'
const HTTP_NAMES = ['plain.test']
const HTTP_ADDED = 'added.test'
const UNUSED_PROTOCOL = { result: 'failed', code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' } as const

/** Where Pebble looks for the names that are added: at gates that are shut. */
const ADDED_ADDRESS = '127.0.0.2'

type Hello = Pick<RawClientOptions, 'serverName' | 'alpn' | 'maxVersion' | 'pieceBytes'>

interface Ordinary {
  readonly hello: Hello
  /** The protocol agreed on, or the alert. */
  readonly expected: string | false
}

const VERSIONS: readonly Hello[] = [{}, { maxVersion: 'TLSv1.2' }, { pieceBytes: 97 }]
const ORDINARY: readonly Ordinary[] = VERSIONS.flatMap((version) => {
  const named = { ...version, serverName: 'one.test' }
  return [
    { hello: { ...named, alpn: ['h2', 'http/1.1'] }, expected: 'h2' },
    { hello: { ...named, alpn: ['http/1.1'] }, expected: 'http/1.1' },
    { hello: { ...named, alpn: ['h2', 'http/1.1', 'acme-tls/1'] }, expected: 'h2' },
    { hello: { ...named, alpn: ['acme-tls/1', 'http/1.1'] }, expected: 'http/1.1' },
    { hello: { ...named, alpn: undefined }, expected: false },
    { hello: { ...version, alpn: ['h2'] }, expected: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE' },
    {
      hello: { ...named, serverName: '1.0.0.127.in-addr.arpa' },
      expected: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
    },
  ]
})

interface Scene {
  readonly pebble: Pebble
  readonly ca: AcmeFaultProxy
  readonly proxy: Proxy
  /** Between Pebble and us, for the added names. */
  readonly gates: readonly Gate[]
  readonly alpnPort: number
  readonly httpPort: number
  /** Adds both names to the configuration, and has it read. */
  readonly addNames: () => void
}

async function setUp(t: TestContext): Promise<Scene> {
  const [alpnPort, httpPort] = [await freePort(), await freePort()]
  // What has been proved at the start need not be proved again.
  const pebble = await startPebble(t, { authorizationReusePercent: 100 })
  const ca = await startAcmeFaultProxy(t, pebble)
  for (const host of [ALPN_ADDED, HTTP_ADDED]) await pebble.setAddresses(host, [ADDED_ADDRESS])
  const hosts = [ADDED_ADDRESS]
  const gates = [
    await Gate.start(t, { port: pebble.tlsPort, targetPort: alpnPort, hosts }),
    await Gate.start(t, { port: pebble.httpPort, targetPort: httpPort, hosts }),
  ]
  const open = [
    await Gate.start(t, { port: pebble.tlsPort, targetPort: alpnPort }),
    await Gate.start(t, { port: pebble.httpPort, targetPort: httpPort }),
  ]
  for (const gate of open) gate.open()

  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const bind_addr = ['127.0.0.1', ADDED_ADDRESS]
  const listener = (names: readonly string[], ports: FileConfig, challenge: string): FileConfig => ({
    bind_addr,
    ...ports,
    tls: {
      mode: 'acme',
      acme_domains: names,
      acme_cache_dir: challenge,
      acme_directory: ca.directoryUrl,
      acme_ca_file: ca.caFile,
      acme_contact: 'mailto:ops@one.test',
      acme_challenge: challenge,
    },
    sites: names.map((host) => ({ host, upstream: origin.upstream })),
  })
  const httpsOfHttp = await freePort()
  const config = (alpnNames: readonly string[], httpNames: readonly string[]): FileConfig => ({
    workers: WORKERS,
    listeners: [
      listener(alpnNames, { https_port: alpnPort, http_port: 0 }, 'tls-alpn-01'),
      listener(httpNames, { https_port: httpsOfHttp, http_port: httpPort }, 'http-01'),
    ],
  })
  const proxy = await startProxy(t, config(ALPN_NAMES, HTTP_NAMES))
  const addNames = (): void => {
    writeConfig(proxy.directory, config([...ALPN_NAMES, ALPN_ADDED], [...HTTP_NAMES, HTTP_ADDED]))
    proxy.signal('SIGHUP')
  }
  return { pebble, ca, proxy, gates, alpnPort, httpPort, addNames }
}

test(
  'Challenge isolation under load: the CA is answered by every worker, nobody else sees or feels it',
  { timeout: IS_FULL ? 600_000 : 90_000 },
  async (t) => {
    const { pebble, ca, proxy, gates, alpnPort, httpPort, addNames } = await setUp(t)
    const [alpnGate, httpGate] = gates
    const load = startLoad(alpnPort)
    const prove = async (serverName: string | undefined, count: number): Promise<Handshake[]> =>
      await times(count, async () => await handshake({ port: alpnPort, serverName, alpn: ['acme-tls/1'] }))

    // When the CA names its challenges, one worker stands still: it has not acknowledged.
    const [still] = proxy.workerPids()
    assert.ok(still !== undefined)
    const tokens: string[] = []
    ca.inject({
      on: 'authz',
      answer: readingTokens((token) => {
        if (tokens.push(token) === 1) process.kill(still, 'SIGSTOP')
      }),
    })
    addNames()
    await waitFor('a worker to be armed', async () => (await prove(ALPN_ADDED, 1)).every(isChallenge))
    assert.ok((await prove(ALPN_ADDED, ATTEMPTS)).every(isChallenge))
    assert.deepEqual(ca.requestsOf('challenge').slice(ALPN_NAMES.length + HTTP_NAMES.length), [])
    process.kill(still, 'SIGCONT')

    // Told: the CA connects, and every worker knows the answer, also those that the reload has brought.
    await alpnGate?.waitForArrival()
    await httpGate?.waitForArrival()
    const keyAuthorization = await findKeyAuthorization(httpPort, tokens)
    assertProved(await prove(ALPN_ADDED, ATTEMPTS))
    await proxy.stdout.waitForLine(/ CONFIG_RELOAD status=success .*workers=replaced certificates=pending/u)
    await waitForWorkers(proxy)
    assertProved(await prove(ALPN_ADDED, ATTEMPTS))

    // Names that are not being proved get an alert, however they are asked for.
    for (const serverName of ['one.test', 'other.test', '1.0.0.127.in-addr.arpa', undefined]) {
      assert.deepEqual(await prove(serverName, 1), [UNUSED_PROTOCOL], String(serverName))
    }
    await assertRedirects(httpPort, keyAuthorization.token)

    await load.reach(ORDINARY_HANDSHAKES)
    assert.deepEqual(await load.stop(), [])

    // Workers die one after the other, and in the same instant every perspective looks.
    for (let kill = 0; kill < KILLS; kill++) {
      const pids = proxy.workerPids()
      process.kill(pids[kill % pids.length] ?? 0, 'SIGKILL')
      const [proofs, answers] = await Promise.all([
        prove(ALPN_ADDED, PERSPECTIVES),
        times(PERSPECTIVES, async () => await askFor(httpPort, keyAuthorization.token)),
      ])
      assertProved(proofs)
      for (const answer of answers) assert.equal(answer, keyAuthorization.text)
      await waitForWorkers(proxy)
    }
    assertProved(await prove(ALPN_ADDED, ATTEMPTS))

    // The CA itself, in the instant after a death.
    process.kill(proxy.workerPids()[0] ?? 0, 'SIGKILL')
    for (const gate of gates) gate.open()
    for (const name of [ALPN_ADDED, HTTP_ADDED]) {
      await proxy.stdout.waitForLine(new RegExp(` CERT_ISSUED .*names=\\S*${name}`, 'u'))
    }
    await waitFor('the new name to be served', async () => {
      const seen = await handshake({ port: alpnPort, serverName: ALPN_ADDED, alpn: ['h2'] })
      return seen.result === 'connected' && !seen.isChallenge
    })

    // Nothing stays armed.
    await waitForWorkers(proxy)
    for (const seen of await prove(ALPN_ADDED, ATTEMPTS)) assert.deepEqual(seen, UNUSED_PROTOCOL)
    for (const answer of await times(ATTEMPTS, async () => await askFor(httpPort, keyAuthorization.token))) {
      assert.equal(answer, 404)
    }
    assert.equal(pebble.requests('newOrder'), 4, 'no order had to be repeated')
    assert.doesNotMatch(proxy.stdout.text, / CERT_FAILED .*problem=/u)
  },
)

/** Lets an authorization through, and reads the tokens of what is still to be proved. */
function readingTokens(onToken: (token: string) => void): Behaviour {
  return async ({ forward, send }) => {
    const answer = await forward()
    const { status, challenges } = parseObject(answer.body.toString()) ?? {}
    if (status === 'pending') {
      for (const { type, token } of listOf(challenges)) if (type === 'http-01') onToken(String(token))
    }
    send(answer)
  }
}

/** Each authorization has a token for each way of proving it: one of them is armed for http-01. */
async function findKeyAuthorization(
  port: number,
  tokens: readonly string[],
): Promise<{ readonly token: string; readonly text: string }> {
  for (const token of new Set(tokens)) {
    const text = await askFor(port, token)
    if (typeof text === 'string') return { token, text }
  }
  throw new Error('no token is armed for http-01')
}

/** The key authorization, or the status of any other answer. */
async function askFor(port: number, token: string, host = HTTP_ADDED): Promise<string | number> {
  const path = `/.well-known/acme-challenge/${token}`
  const { status, body } = await requestPlain({ host, port, path })
  return status === 200 ? body : status
}

/** HTTP-01 comes before the redirects, and takes nothing from them but its own tokens. */
async function assertRedirects(port: number, token: string): Promise<void> {
  const statusOf = async (host: string, path: string): Promise<number> =>
    (await requestPlain({ host, port, path })).status
  assert.equal(typeof (await askFor(port, token, 'plain.test')), 'string')
  for (const other of ['unknown', '', `${token}x`, `${token}/`, `x/${token}`, `../${token}`]) {
    assert.equal(await askFor(port, other), 404, other)
  }
  assert.equal(await statusOf('plain.test', `/other/.well-known/acme-challenge/${token}`), 301)
  assert.equal(await statusOf('plain.test', '/.well-known/acme-challenge'), 301)
  assert.equal(await statusOf(HTTP_ADDED, '/'), 301)
  assert.equal(await statusOf('unknown.test', '/'), 404)
}

function isChallenge(seen: Handshake): seen is Extract<Handshake, { result: 'connected' }> {
  return seen.result === 'connected' && seen.isChallenge
}

function assertProved(proofs: readonly Handshake[]): void {
  for (const seen of proofs) {
    assert.ok(isChallenge(seen), JSON.stringify(seen))
    assert.deepEqual([seen.subjectAltName, seen.alpn], [`DNS:${ALPN_ADDED}`, 'acme-tls/1'])
  }
}

interface Load {
  /** Resolves when so many handshakes have been made in all. */
  readonly reach: (handshakes: number) => Promise<void>
  /** Resolves with what went otherwise than it should. */
  readonly stop: () => Promise<unknown[]>
}

/** Ordinary clients, each with one handshake after the other. */
function startLoad(port: number): Load {
  const stopping = new AbortController()
  const wrong: unknown[] = []
  let turn = 0
  let finished = 0
  const client = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const ordinary = ORDINARY[turn++ % ORDINARY.length]
      assert.ok(ordinary !== undefined)
      const { hello, expected } = ordinary
      const seen = await handshake({ port, ...hello })
      const outcome = seen.result === 'connected' ? seen.alpn : seen.code
      const isOurs = seen.result === 'failed' || seen.subjectAltName.includes('DNS:one.test, DNS:two.test')
      if (outcome !== expected || isChallenge(seen) || !isOurs) wrong.push({ hello, expected, seen })
      finished++
    }
  }
  const clients = times(CLIENTS, client)
  return {
    reach: async (handshakes) => {
      await waitFor(`${handshakes} handshakes`, () => finished >= handshakes, IS_FULL ? 300_000 : 60_000)
    },
    stop: async () => {
      stopping.abort()
      await clients
      return wrong.slice(0, 10)
    },
  }
}

/** Each worker is there and ready, and none of those before is left. */
async function waitForWorkers(proxy: Proxy): Promise<void> {
  await waitFor(
    'every worker to be ready',
    () => {
      const ready = new Set(
        [...proxy.stdout.text.matchAll(/ WORKER_READY .*pid=(\d+)/gu)].map(([, pid]) => Number(pid)),
      )
      const pids = proxy.workerPids()
      return pids.length === WORKERS && pids.every((pid) => ready.has(pid))
    },
    30_000,
  )
}

async function times<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  return await Promise.all(Array.from({ length: count }, make))
}
