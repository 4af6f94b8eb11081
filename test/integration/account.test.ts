// One account for a machine and a CA, however many listeners there are; and what an attempt waits for, instead of
// failing. Against a real CA behind a proxy that breaks it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { systemClock } from '@reverse-proxy/shared/clock'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import type { AcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { rateLimited, refuse, reset, serverError, unavailable } from '../harness/acme/answers.ts'
import type { Behaviour, Problem } from '../harness/acme/exchange.ts'
import { answerOf, problemAnswer, withHeaders } from '../harness/acme/exchange.ts'
import { temporaryDirectory } from '../harness/directory.ts'
import type { Pebble, PebbleVisit } from '../harness/acme/pebble.ts'
import { sharePebble, startPebble } from '../harness/acme/pebble.ts'
import { listen } from '../harness/ports.ts'
import { IS_FULL } from '../harness/size.ts'
import { waitFor } from '../harness/wait.ts'
import { openFileStorage } from '../../packages/supervisor/src/certificates/storage/file-storage.ts'
import { AcmeManager } from '../../packages/supervisor/src/certificates/acme/manager.ts'
import type { CertificateServices } from '../../packages/supervisor/src/certificates/services.ts'
import { withTimers } from '../../packages/supervisor/src/os/waitable-clock.ts'
import { answerTlsAlpn, FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'

const TEST = { timeout: IS_FULL ? 600_000 : 120_000 }
const NEVER = new AbortController().signal
const LISTENERS = IS_FULL ? 50 : 6
const GONE = { status: 400, type: 'accountDoesNotExist' } as const
const CA_REQUESTS_PER_SECOND = 20
const visit = await sharePebble()

function withoutNonce(problem: Problem): Behaviour {
  return ({ send }) => send(problemAnswer(problem))
}

async function accountFiles(stateDir: string): Promise<string[]> {
  const paths = await accountPaths(stateDir)
  return await Promise.all(
    paths
      .filter((path) => path.startsWith(join(stateDir, 'acme')))
      .map(async (path) => await readFile(path, 'utf8')),
  )
}

/** The machine's and the listeners' own. */
async function accountPaths(stateDir: string): Promise<string[]> {
  const names = await readdir(stateDir, { recursive: true })
  return names.filter((name) => /accounts\/.*\.json$/u.test(name)).map((name) => join(stateDir, name))
}

class Machine {
  readonly pebble: Pebble | PebbleVisit
  readonly ca: AcmeFaultProxy
  readonly stateDir: string
  readonly host: FakeHost
  readonly #t: TestContext
  readonly #armed = new Map<string, readonly ArmedChallenge[]>()

  private constructor(t: TestContext, pebble: Pebble | PebbleVisit, ca: AcmeFaultProxy) {
    this.#t = t
    this.pebble = pebble
    this.ca = ca
    this.stateDir = join(temporaryDirectory(t), 'state')
    this.host = new FakeHost()
  }

  static async start(t: TestContext, pebble: Pebble | PebbleVisit = visit(t)): Promise<Machine> {
    const machine = new Machine(t, pebble, await startAcmeFaultProxy(t, pebble))
    await answerTlsAlpn(t, machine, pebble.tlsPort)
    return machine
  }

  get challenges(): readonly ArmedChallenge[] {
    return [...this.#armed.values()].flat()
  }

  async listener(
    index: number,
    changes: Partial<AcmeSettings> = {},
    host: Partial<CertificateServices> = {},
  ): Promise<AcmeManager> {
    const { jobs, log, clock, counts } = this.host
    const settings = settingsFor(this.ca, join(this.stateDir, `cache-${index}`), {
      domains: [`site${index}.example`],
      ...changes,
    })
    const manager = new AcmeManager(`listener-${index}`, settings, {
      jobs,
      log,
      counts,
      clock,
      stateDir: this.stateDir,
      openStorage: openFileStorage,
      publish: async () => {},
      arm: async (id, challenges) => void this.#armed.set(id, challenges),
      progress: () => {},
      ...host,
    })
    this.#t.after(async () => await manager.close())
    await manager.load()
    return manager
  }

  async acquired(...args: Parameters<Machine['listener']>): Promise<AcmeManager> {
    const manager = await this.listener(...args)
    await manager.acquire(NEVER)
    assert.equal(manager.needsOrder(), false)
    return manager
  }
}

test(
  'many listeners at a CA of 20 requests a second that refuses one nonce in twenty: all serve, by one account',
  TEST,
  async (t) => {
    const machine = await Machine.start(t, await startPebble(t, { nonceRejectPercent: 5 }))
    const { pebble, ca } = machine
    const recent: number[] = []
    const limited = ca.inject({
      on: 'everything',
      answer: rateLimited('1'),
      when: () => {
        const nowMs = performance.now()
        recent.push(nowMs)
        while ((recent[0] ?? nowMs) <= nowMs - 1_000) recent.shift()
        return recent.length > CA_REQUESTS_PER_SECOND
      },
    })
    const clock = withTimers(systemClock)
    const managers = await Promise.all(
      Array.from({ length: LISTENERS }, async (_, index) => await machine.listener(index, {}, { clock })),
    )
    await Promise.all(managers.map(async (manager) => await manager.acquire(NEVER)))
    assert.ok(managers.every((manager) => manager.isComplete()))
    assert.equal(pebble.accounts(), 1)
    t.diagnostic(`${ca.requests.length} requests, ${limited.hits} refused`)
  },
)

test('a key that has just been made is not looked up at the CA', TEST, async (t) => {
  const machine = await Machine.start(t)
  await machine.acquired(1)
  const payloads = machine.ca.requestsOf('newAccount').map(({ payload }) => payload)
  assert.deepEqual(
    payloads.filter((payload) => payload?.['onlyReturnExisting'] === true),
    [],
  )
})

test('an account in a cache directory goes on, and becomes the one of the machine', TEST, async (t) => {
  const machine = await Machine.start(t)
  await machine.acquired(1, {}, { stateDir: undefined })
  await machine.acquired(1, { domains: ['more.example'] })
  await machine.acquired(2)
  assert.equal(machine.pebble.accounts(), 1)
})

test(
  'two contacts are two accounts; a changed one is told to the CA at the start, by the same account',
  TEST,
  async (t) => {
    const machine = await Machine.start(t)
    const { ca, pebble } = machine
    await machine.acquired(1, { contact: 'mailto:one@example.org' })
    await machine.acquired(2, { contact: 'mailto:two@example.org' })
    assert.equal(pebble.accounts(), 2)

    const orders = ca.requestsOf('newOrder').length
    const changed = await machine.listener(1, { contact: 'mailto:new@example.org' })
    changed.start()
    await waitFor('the CA is told', () => ca.requestsOf('account').some(({ status }) => status === 200))
    assert.deepEqual(
      ca.requestsOf('account').map(({ payload }) => payload),
      [{ contact: ['mailto:new@example.org'] }],
    )
    assert.equal(ca.requestsOf('newOrder').length, orders)
    await waitFor('the account is kept with the new contact', async () =>
      (await accountFiles(machine.stateDir)).some((text) => text.includes('new@example.org')),
    )
    await changed.close()
    await machine.acquired(3, { contact: 'mailto:new@example.org' })
    assert.equal(pebble.accounts(), 2)
  },
)

for (const [what, refusal, lookup] of [
  ['deactivated', { status: 401, type: 'unauthorized' }, { status: 403, type: 'unauthorized' }],
  ['gone, which the CA says with a 500', { status: 500, type: 'serverInternal' }, GONE],
] as const) {
  test(`an account that is ${what} is replaced by one, for all listeners`, TEST, async (t) => {
    const machine = await Machine.start(t)
    const { ca, pebble } = machine
    await machine.acquired(1)
    const [first] = ca.requestsOf('newOrder')
    assert.ok(first)
    ca.inject({
      on: 'newOrder',
      answer: refuse({ ...refusal, detail: 'the account is not active' }),
      when: ({ accountUrl }) => accountUrl === first.accountUrl,
    })
    ca.inject({
      on: 'newAccount',
      answer: refuse({ ...lookup, detail: 'not active' }),
      when: ({ payload }) => payload?.['onlyReturnExisting'] === true,
    })
    await machine.acquired(2)
    await machine.acquired(1, { domains: ['more.example'] })
    assert.equal(pebble.accounts(), 2)
    const urls = ca.requestsOf('newOrder').map(({ accountUrl }) => accountUrl)
    assert.equal(new Set(urls).size, 2)
    assert.notEqual(urls.at(-1), first.accountUrl)
  })
}

test('an account that the CA has under another URL now is used there', TEST, async (t) => {
  const machine = await Machine.start(t)
  const { ca, pebble } = machine
  await machine.acquired(1)
  const former = ca.requestsOf('newOrder').at(-1)?.accountUrl
  assert.ok(former)
  const moved = `${former}-before`
  const files = await accountPaths(machine.stateDir)
  for (const path of files) await writeFile(path, (await readFile(path, 'utf8')).replace(former, moved))
  ca.inject({
    on: 'newOrder',
    answer: refuse({ status: 401, type: 'unauthorized', detail: 'no such account' }),
    when: ({ accountUrl }) => accountUrl === moved,
  })
  await machine.acquired(1, { domains: ['more.example'] })
  assert.deepEqual(
    ca
      .requestsOf('newOrder')
      .slice(-2)
      .map(({ accountUrl }) => accountUrl),
    [moved, former],
  )
  assert.equal(pebble.accounts(), 1)
})

test('a refusal that is not about the account replaces none', TEST, async (t) => {
  const machine = await Machine.start(t)
  await machine.acquired(1)
  machine.ca.inject({ on: 'newOrder', answer: refuse({ status: 403, type: 'unauthorized', detail: 'no' }) })
  await assert.rejects(machine.acquired(2), { code: 'ACME', message: /unauthorized: no/u })
  assert.equal(machine.pebble.accounts(), 1)
})

test(
  'a state_dir that cannot be used is found before the CA hears of an account, and named',
  TEST,
  async (t) => {
    const machine = await Machine.start(t)
    const file = join(temporaryDirectory(t), 'file')
    await writeFile(file, '')
    await assert.rejects(machine.acquired(1, {}, { stateDir: join(file, 'state') }), {
      code: 'CACHE',
      message: /file\/state.*below state_dir/u,
      hint: /state_dir/u,
    })
    assert.equal(machine.ca.requestsOf('newAccount').length, 0)
  },
)

test(
  'trouble that passes, at each kind of request once, is waited for within the attempt',
  TEST,
  async (t) => {
    const machine = await Machine.start(t)
    const kinds = [
      'directory',
      'newNonce',
      'newAccount',
      'newOrder',
      'order',
      'authz',
      'challenge',
      'certificate',
    ] as const
    for (const [index, answer] of [
      unavailable(),
      unavailable('1'),
      withoutNonce({ status: 429, type: 'rateLimited', detail: 'slower' }),
      serverError(),
      reset(),
    ].entries()) {
      machine.ca.removeFaults()
      const faults = kinds.map((on) => machine.ca.inject({ on, answer, times: 1 }))
      await machine.acquired(index, { contact: `mailto:${index}@example.org` })
      assert.deepEqual(
        faults.map(({ hits }) => hits),
        kinds.map(() => 1),
      )
      assert.equal(machine.pebble.accounts(), index + 1)
    }
  },
)

test('a CA that asks for more than a minute is not waited for', TEST, async (t) => {
  const machine = await Machine.start(t)
  machine.ca.inject({ on: 'newOrder', answer: rateLimited('61') })
  await assert.rejects(machine.acquired(1), { code: 'ACME', message: /rateLimited/u })
  assert.equal(machine.ca.requestsOf('newOrder').length, 1)
})

test(
  'redirected directory, relative links, no HEAD, badNonce with status 401: a certificate all the same',
  TEST,
  async (t) => {
    const machine = await Machine.start(t)
    const { ca } = machine
    const { origin } = new URL(ca.directoryUrl)
    ca.inject({
      on: 'other',
      answer: ({ send }) => send(withHeaders(answerOf(301, 'text/plain', ''), { location: '/dir' })),
      when: ({ path }) => path === '/old',
    })
    ca.inject({
      on: 'newNonce',
      answer: ({ send }) => send(answerOf(405, 'text/plain', '')),
      when: ({ method }) => method === 'HEAD',
    })
    ca.inject({ on: 'newOrder', answer: refuse({ status: 401, type: 'badNonce', detail: 'old' }), times: 1 })
    ca.inject({
      on: ['newAccount', 'newOrder'],
      answer: async ({ forward, send }) => {
        const answer = await forward()
        const { location } = answer.headers
        send(
          typeof location === 'string'
            ? withHeaders(answer, { location: new URL(location).pathname })
            : answer,
        )
      },
    })
    await machine.acquired(1, { directoryUrl: `${origin}/old` })
  },
)

test('HTTPS_PROXY carries the requests to the CA, unless NO_PROXY names it', TEST, async (t) => {
  const machine = await Machine.start(t)
  const targets: (string | undefined)[] = []
  const proxy = http.createServer().on('connect', ({ url }, client) => {
    targets.push(url)
    const upstream = net.connect(Number(url?.split(':')[1]), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      upstream.pipe(client).pipe(upstream)
    })
    for (const socket of [upstream, client]) socket.on('error', () => {})
  })
  const port = await listen(t, proxy)
  const saved = { ...process.env }
  t.after(() => Object.assign(process.env, { HTTPS_PROXY: '', NO_PROXY: '' }, saved))
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${port}`
  process.env['NO_PROXY'] = ''
  await machine.acquired(1)
  assert.ok(targets.length > 0)
  assert.deepEqual([...new Set(targets)], [new URL(machine.ca.directoryUrl).host])

  targets.length = 0
  process.env['NO_PROXY'] = '127.0.0.1'
  await machine.acquired(2)
  assert.deepEqual(targets, [])

  process.env['NO_PROXY'] = ''
  process.env['HTTPS_PROXY'] = `127.0.0.1:${port}`
  await machine.acquired(3)
  assert.ok(targets.length > 0, 'without a scheme, as curl takes it')
  process.env['HTTPS_PROXY'] = 'socks5://127.0.0.1:1'
  await assert.rejects(machine.acquired(4), { code: 'CONFIG', message: /^HTTPS_PROXY / })
})

test("the system's roots are trusted towards a CA", TEST, async (t) => {
  const { ca } = await Machine.start(t)
  const script = `
    import https from 'node:https'
    import { createCaAgent } from ${JSON.stringify(join(import.meta.dirname, '../../packages/supervisor/src/certificates/acme-client/transport/ca-agent.ts'))}
    const agent = createCaAgent(undefined, () => {})
    https.get(${JSON.stringify(ca.directoryUrl)}, { agent }, ({ statusCode }) => {
      console.log(statusCode)
      process.exit()
    })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, SSL_CERT_FILE: ca.caFile },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const chunks = await child.stdout.toArray()
  assert.equal(Buffer.concat(chunks).toString(), '200\n')
})
