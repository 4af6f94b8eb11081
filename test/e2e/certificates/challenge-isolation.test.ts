// While names are being proved, the CA gets its answer from whichever worker, and nobody else notices.
// The order is one that a reload asks for: everything is served meanwhile, and every worker is replaced.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import type { AcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { answerOf, withHeaders } from '../../harness/acme/exchange.ts'
import type { Behaviour } from '../../harness/acme/exchange.ts'
import { listOf, parseObject } from '../../harness/acme/request.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { OrdinaryClients } from '../../harness/clients/ordinary-clients.ts'
import type { Pebble } from '../../harness/acme/pebble.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'
import type { Proxy } from '../../harness/proxy.ts'
import type { Handshake } from '../../harness/clients/handshake.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { requestPlain } from '../../harness/clients/request.ts'
import { IS_FULL } from '../../harness/size.ts'
import { waitFor } from '../../harness/wait.ts'

const ORDINARY_HANDSHAKES = IS_FULL ? 10_000 : 400
const KILLS = IS_FULL ? 12 : 3
const WORKERS = 3
/** As many as the largest CA has. */
const PERSPECTIVES = 6
/** More than enough for each worker to have had one. */
const ATTEMPTS = 24
const PATIENCE_MS = IS_FULL ? 240_000 : 60_000

const ALPN_NAMES = ['one.test', 'two.test']
const ALPN_ADDED = 'three.test'
const HTTP_NAMES = ['plain.test']
const HTTP_ADDED = 'added.test'
const UNUSED_PROTOCOL = { result: 'failed', code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' } as const

interface Scene {
  readonly pebble: Pebble
  readonly ca: AcmeFaultProxy
  readonly proxy: Proxy
  readonly alpnPort: number
  readonly httpPort: number
  /** Adds a name to each listener of the configuration, and has it read. */
  readonly addNames: () => void
}

async function setUp(t: TestContext): Promise<Scene> {
  // What has been proved at the start need not be proved again.
  const pebble = await startPebble(t, { authorizationReusePercent: 100 })
  const ca = await startAcmeFaultProxy(t, pebble)
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const { upstream } = origin
  const { tlsPort: alpnPort, httpPort } = pebble
  const httpsPort = await freePort()
  const config = (alpnNames: readonly string[], httpNames: readonly string[]): FileConfig => ({
    workers: WORKERS,
    listeners: [
      acmeListener({
        ca,
        upstream,
        names: alpnNames,
        httpsPort: alpnPort,
        cacheDir: 'tls-alpn-01',
        challenge: 'tls-alpn-01',
      }),
      acmeListener({
        ca,
        upstream,
        names: httpNames,
        httpsPort,
        httpPort,
        cacheDir: 'http-01',
        challenge: 'http-01',
      }),
    ],
  })
  const proxy = await startProxy(t, config(ALPN_NAMES, HTTP_NAMES))
  const addNames = (): void => {
    writeConfig(proxy.directory, config([...ALPN_NAMES, ALPN_ADDED], [...HTTP_NAMES, HTTP_ADDED]))
    proxy.signal('SIGHUP')
  }
  return { pebble, ca, proxy, alpnPort, httpPort, addNames }
}

test(
  'Challenge isolation under load: the CA is answered by every worker, nobody else sees or feels it',
  { timeout: IS_FULL ? 600_000 : 180_000 },
  async (t) => {
    const { pebble, ca, proxy, alpnPort, httpPort, addNames } = await setUp(t)
    const clients = new OrdinaryClients({ port: alpnPort, serverName: 'one.test', clients: 6 })
    const prove = async (serverName: string | undefined, count: number): Promise<Handshake[]> =>
      await times(count, async () => await handshake({ port: alpnPort, serverName, alpn: ['acme-tls/1'] }))
    const isHttp = (accountUrl: string | undefined): boolean =>
      ca
        .requestsOf('newOrder')
        .some((order) => order.accountUrl === accountUrl && order.identifiers.includes(HTTP_ADDED))

    // From the moment in which the CA names its challenges, one worker stands still and will not acknowledge them. A
    // fresh one: an old one has to be done in time, and those whose connection it holds would feel it. No longer than
    // it takes: a worker that is silent for 10 s is killed.
    const reloaded = Promise.withResolvers<void>()
    let still = 0
    const tokens: string[] = []
    const readTokens = readingTokens((token) => tokens.push(token))
    ca.inject({
      on: 'authz',
      answer: async (exchange) => {
        await reloaded.promise
        if (still === 0) {
          still = readyPids(proxy).at(-1) ?? 0
          process.kill(still, 'SIGSTOP')
        }
        await readTokens(exchange)
      },
    })
    // In the instant in which the CA is told, every perspective looks; Pebble does when it is wanted to.
    const atOnce: unknown[] = []
    const pebbleLooks: (() => Promise<unknown>)[] = []
    ca.inject({
      on: 'challenge',
      answer: async ({ request, forward, freshNonce, send }) => {
        if (isHttp(request.accountUrl)) atOnce.push((await askForAll(httpPort, tokens)).length)
        else atOnce.push((await prove(ALPN_ADDED, PERSPECTIVES)).every(isChallenge))
        pebbleLooks.push(forward)
        const nonce = (await freshNonce()) ?? ''
        send(
          withHeaders(answerOf(200, 'application/json', '{"status":"processing"}'), {
            'replay-nonce': nonce,
          }),
        )
      },
    })
    addNames()
    await proxy.stdout.waitForLine(
      / CONFIG_RELOAD status=success .*workers=replaced certificates=pending/u,
      PATIENCE_MS,
    )
    reloaded.resolve()
    // Who comes from then on is not taken by a worker that will not answer.
    await waitFor('a worker to stand still', () => still !== 0, PATIENCE_MS)
    await waitFor(
      'a worker to be armed',
      async () => (await prove(ALPN_ADDED, 1)).every(isChallenge),
      PATIENCE_MS,
    )
    assertProved(await prove(ALPN_ADDED, PERSPECTIVES))
    assert.equal(pebbleLooks.length, 0, 'not before the last worker has acknowledged')
    process.kill(still, 'SIGCONT')
    await waitFor('the CA to be told', () => pebbleLooks.length === 2, PATIENCE_MS)
    assert.deepEqual(new Set(atOnce), new Set([true, PERSPECTIVES]))

    // Every worker knows the answer, also those that the reload has brought.
    await waitForWorkers(proxy)
    assertProved(await prove(ALPN_ADDED, ATTEMPTS))
    const [answer] = await askForAll(httpPort, tokens)
    assert.ok(answer !== undefined)
    const { token, keyAuthorization } = answer

    // Names that are not being proved get an alert, however they are asked for.
    for (const serverName of ['one.test', 'other.test', '1.0.0.127.in-addr.arpa', undefined]) {
      assert.deepEqual(await prove(serverName, 1), [UNUSED_PROTOCOL], String(serverName))
    }
    await assertRedirects(httpPort, token)

    await clients.reach(ORDINARY_HANDSHAKES, PATIENCE_MS)
    await clients.stop()
    assert.deepEqual(clients.wrong.slice(0, 10), [])

    // Workers die one after the other, and in the same instant every perspective looks.
    for (let kill = 0; kill < KILLS; kill++) {
      const pids = proxy.workerPids()
      process.kill(pids[kill % pids.length] ?? 0, 'SIGKILL')
      const [proofs, answers] = await Promise.all([
        prove(ALPN_ADDED, PERSPECTIVES),
        times(PERSPECTIVES, async () => await askFor(httpPort, token)),
      ])
      assertProved(proofs)
      assert.deepEqual(new Set(answers), new Set([keyAuthorization]))
      await waitForWorkers(proxy)
    }
    assertProved(await prove(ALPN_ADDED, ATTEMPTS))

    // Pebble itself, in the instant after a death.
    process.kill(proxy.workerPids()[0] ?? 0, 'SIGKILL')
    await Promise.all(pebbleLooks.map(async (look) => await look()))
    for (const name of [ALPN_ADDED, HTTP_ADDED]) {
      await proxy.stdout.waitForLine(new RegExp(` CERT_ISSUED .*names=\\S*${name}`, 'u'), PATIENCE_MS)
    }
    await waitFor('the new name to be served', async () => {
      const seen = await handshake({ port: alpnPort, serverName: ALPN_ADDED, alpn: ['h2'] })
      return seen.result === 'connected' && !seen.isChallenge
    })

    // Nothing stays armed.
    await waitForWorkers(proxy)
    for (const seen of await prove(ALPN_ADDED, ATTEMPTS)) assert.deepEqual(seen, UNUSED_PROTOCOL)
    const answers = await times(ATTEMPTS, async () => await askFor(httpPort, token))
    assert.deepEqual(new Set(answers), new Set([404]))
    assert.equal(pebble.requests('newOrder'), 4, 'no order had to be repeated')
    assert.doesNotMatch(proxy.stdout.text, / CERT_FAILED .*problem=/u)
  },
)

/** Lets an authorization through, and reads the http-01 token of what is still to be proved. */
function readingTokens(onToken: (token: string) => void): Behaviour {
  return async ({ forward, send }) => {
    const answer = await forward()
    const { status, challenges } = parseObject(answer.body.toString()) ?? {}
    const offered = status === 'pending' ? listOf(challenges) : []
    for (const { type, token } of offered) if (type === 'http-01') onToken(String(token))
    send(answer)
  }
}

interface HttpAnswer {
  readonly token: string
  readonly keyAuthorization: string
}

/** From every perspective, each token: those answers that prove something. Only one of the tokens is armed for http-01. */
async function askForAll(port: number, tokens: readonly string[]): Promise<HttpAnswer[]> {
  const asked = [...new Set(tokens)].flatMap((token) => Array.from({ length: PERSPECTIVES }, () => token))
  const answers = await Promise.all(
    asked.map(async (token) => ({ token, keyAuthorization: await askFor(port, token) })),
  )
  return answers.flatMap(({ token, keyAuthorization }) =>
    typeof keyAuthorization === 'string' ? [{ token, keyAuthorization }] : [],
  )
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

/** Each worker is there and ready, and none of those before is left. */
async function waitForWorkers(proxy: Proxy): Promise<void> {
  await waitFor(
    'every worker to be ready',
    () => {
      const ready = readyPids(proxy)
      const pids = proxy.workerPids()
      return pids.length === WORKERS && pids.every((pid) => ready.includes(pid))
    },
    PATIENCE_MS,
  )
}

/** Of every worker that has ever been ready, in that order. */
function readyPids(proxy: Proxy): number[] {
  return proxy.stdout.lines.flatMap((line) => {
    const pid = / WORKER_READY .*pid=(\d+)/u.exec(line)?.[1]
    return pid === undefined ? [] : [Number(pid)]
  })
}

async function times<T>(count: number, make: () => Promise<T>): Promise<T[]> {
  return await Promise.all(Array.from({ length: count }, make))
}
