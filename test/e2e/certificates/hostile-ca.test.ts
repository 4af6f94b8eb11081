// The whole program: a dozen certificates are renewed at a CA that cheats each listener in another way.
// Nothing of that is served, what the CA said can be read, and no client of any listener notices.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import type { AcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { drip, invalidateOrder, substituteChain } from '../../harness/acme/alterations.ts'
import { badNonce, flood, hang, rejectIdentifiers, serverError } from '../../harness/acme/answers.ts'
import type { Fault } from '../../harness/acme/fault-script.ts'
import { askAdmin } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { memoryOf } from '../../harness/processes.ts'
import { startProxy } from '../../harness/proxy.ts'
import type { Proxy } from '../../harness/proxy.ts'
import { IS_FULL } from '../../harness/size.ts'
import { Visitors } from '../../harness/clients/visits.ts'
import { waitFor } from '../../harness/wait.ts'

const WORKERS = 2
const AT_A_TIME = 8
const DAY_MS = 86_400_000
/** What all of it together, a gigabyte from the CA included, may cost the supervisor. */
const MEMORY_BYTES = 96 * 1024 * 1024

interface Case {
  readonly fault: Fault
  /** In the log and in what `certs` says. */
  readonly reason: RegExp
  /** The detail of the CA's problem document, where it sends one. */
  readonly detail?: string
}

const past = { notBeforeMs: Date.now() - 2 * DAY_MS, notAfterMs: Date.now() - DAY_MS }
const future = { notBeforeMs: Date.now() + DAY_MS, notAfterMs: Date.now() + 90 * DAY_MS }
const onCertificate = (answer: Fault['answer']): Fault => ({ on: 'certificate', answer })

/** By the first label of the name that each listener serves. */
const CASES: Readonly<Record<string, Case>> = {
  'other-key': { fault: onCertificate(substituteChain({ otherKey: true })), reason: /does not match/u },
  'other-names': {
    fault: onCertificate(substituteChain({ names: ['x.test'] })),
    reason: /certificate lacks/u,
  },
  expired: { fault: onCertificate(substituteChain(past)), reason: /has expired/u },
  'not-yet': { fault: onCertificate(substituteChain(future)), reason: /not valid yet/u },
  gigabyte: { fault: { on: 'newOrder', answer: flood() }, reason: /maxContentLength/u },
  nonces: {
    fault: { on: 'everything', answer: badNonce(), share: 0.9 },
    reason: /badNonce/u,
    detail: 'the nonce is not one of ours',
  },
  broken: { fault: { on: 'everything', answer: serverError() }, reason: /the CA answered 500/u },
  invalid: {
    fault: { on: ['order', 'finalize'], answer: invalidateOrder(['invalid.test']) },
    reason: /invalid\.test: caa/u,
    detail: 'some names cannot be had',
  },
  rejected: {
    fault: { on: 'newOrder', answer: rejectIdentifiers(['rejected.test']) },
    reason: /rejectedIdentifier/u,
    detail: 'the name is not allowed',
  },
  ...(IS_FULL && {
    silent: { fault: { on: 'newOrder', answer: hang() }, reason: /no whole answer within 30 s/u },
    trickle: { fault: onCertificate(drip()), reason: /no whole answer within 30 s/u },
  }),
}
const NAMES = Object.keys(CASES).map((label) => `${label}.test`)

interface Scene {
  readonly ca: AcmeFaultProxy
  readonly proxy: Proxy
  readonly port: number
  /** One command over the admin socket. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as askAdmin
  readonly ask: (command: string) => Promise<any>
}

/** A listener for each name, on an address of its own. */
async function setUp(t: TestContext): Promise<Scene> {
  const pebble = await startPebble(t, { authorizationReusePercent: 100 })
  const ca = await startAcmeFaultProxy(t, pebble)
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  await Promise.all(NAMES.map(async (name) => await pebble.setAddresses(name, [addressOf(name)])))
  const listeners = NAMES.map((name) =>
    acmeListener({
      ca,
      names: [name],
      cacheDir: `acme-${name}`,
      bindAddr: addressOf(name),
      httpsPort: pebble.tlsPort,
      upstream: origin.upstream,
    }),
  )
  const proxy = await startProxy(t, { workers: WORKERS, listeners })
  const socket = join(proxy.directory, 'admin.sock')
  return { ca, proxy, port: pebble.tlsPort, ask: async (command) => await askAdmin(socket, command) }
}

function addressOf(name: string): string {
  return `127.0.0.${NAMES.indexOf(name) + 2}`
}

/** Each listener has an account of its own. */
function accountOf(ca: AcmeFaultProxy, name: string): string | undefined {
  return ca.requestsOf('newOrder').find(({ identifiers }) => identifiers.includes(name))?.accountUrl
}

test(
  'Hostile or broken CA: the old certificates serve on, and what the CA said is in the log and in `certs`',
  { timeout: IS_FULL ? 300_000 : 180_000 },
  async (t) => {
    const { ca, proxy, port, ask } = await setUp(t)
    const serials = await serialsByName(ask)
    const visitors = new Visitors(2, (turn) => {
      const host = NAMES[turn % NAMES.length] ?? ''
      return { port, host, address: addressOf(host), protocol: turn % 2 === 0 ? 'h2' : 'http/1.1' }
    })
    const before = memoryOf(proxy.pid).rssBytes

    for (const [label, { fault }] of Object.entries(CASES)) {
      const account = accountOf(ca, `${label}.test`)
      assert.ok(account !== undefined)
      ca.inject({ ...fault, when: ({ accountUrl }) => accountUrl === account })
    }
    const answers = await renewAll(ask)
    for (const [index, { reason }] of Object.values(CASES).entries()) {
      assert.equal(answers[index]?.status, 'error', String(NAMES[index]))
      assert.match(answers[index]?.message ?? '', reason)
    }
    assert.ok(memoryOf(proxy.pid).peakRssBytes - before < MEMORY_BYTES)

    const { certificates } = await ask('certs')
    assert.deepEqual(await serialsByName(ask), serials)
    for (const [label, { reason, detail }] of Object.entries(CASES)) {
      const name = `${label}.test`
      const { state, failure } = certificates.find((one: { names: string[] }) => one.names.includes(name))
      assert.equal(state, 'valid')
      assert.match(failure.reason, reason)
      assert.equal(failure.problem?.detail, detail)
      assert.ok(Date.parse(failure.next_attempt_at) > Date.now())
      const [line] = await proxy.stdout.waitForLine(new RegExp(` WARN CERT_FAILED .*names=${name} .*`, 'u'))
      assert.match(line, reason)
      if (detail !== undefined) assert.ok(line.includes(String.raw`\"detail\":\"${detail}\"`), line)
    }

    ca.removeFaults()
    assert.ok((await renewAll(ask)).every(({ status }) => status === 'ok'))
    const renewed = await serialsByName(ask)
    assert.equal(new Set([...serials.values(), ...renewed.values()]).size, 2 * NAMES.length, 'well again')
    const { length } = visitors.visits
    await waitFor('clients after that', () => visitors.visits.length > length + 2 * NAMES.length, 30_000)
    await visitors.stop()
    assert.deepEqual(visitors.errors, [])
    const known = new Set([...serials.values(), ...renewed.values()])
    assert.deepEqual(
      visitors.visits.filter(({ serial }) => !known.has(serial)),
      [],
    )
  },
)

/** The answers, in the order of NAMES; the admin socket takes ten commands at a time. */
async function renewAll(ask: Scene['ask']): Promise<{ readonly status: string; readonly message: string }[]> {
  const answers = []
  for (let at = 0; at < NAMES.length; at += AT_A_TIME) {
    const some = NAMES.slice(at, at + AT_A_TIME)
    answers.push(...(await Promise.all(some.map(async (name) => await ask(`renew ${name}`)))))
  }
  return answers
}

/** What every worker serves for each name. */
async function serialsByName(ask: Scene['ask']): Promise<Map<string, string>> {
  const { certificates } = await ask('certs')
  const serials = new Map<string, string>()
  for (const { names, serial, workers } of certificates) {
    assert.equal(workers.length, WORKERS)
    for (const worker of workers) assert.deepEqual(worker.serials, [serial])
    for (const name of names) serials.set(name, serial)
  }
  assert.deepEqual(new Set(serials.keys()), new Set(NAMES))
  return serials
}
