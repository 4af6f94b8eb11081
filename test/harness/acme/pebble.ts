// A real ACME server for tests: Pebble, with its DNS and its way to our ports under the test's control.
// Every name resolves to 127.0.0.1 and nothing else, unless the test says otherwise.
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import https from 'node:https'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { after } from 'node:test'
import type { Lifetime } from '../directory.ts'
import { temporaryDirectory } from '../directory.ts'
import { Output } from '../output.ts'
import { freePort } from '../ports.ts'
import { TestCa } from '../tls-material.ts'
import { waitFor } from '../wait.ts'

export interface PebbleOptions {
  /** Where Pebble connects for http-01; a free port by default. */
  readonly httpPort?: number
  /** Where Pebble connects for tls-alpn-01; a free port by default. */
  readonly tlsPort?: number
  /** Per cent of good nonces that are refused: 0 by default. */
  readonly nonceRejectPercent?: number
  /** Per cent of proved names that need not be proved again: 0 by default. */
  readonly authorizationReusePercent?: number
  /** Lifetime of what it issues: 90 days by default. */
  readonly certificateLifetimeSecs?: number
  /** Further chains for each certificate: 0 by default. */
  readonly alternateRoots?: number
  /** Accounts need a binding with one of these: `{ kid: base64url key }`. */
  readonly externalAccounts?: Readonly<Record<string, string>>
}

/** For a machine that has much else to do: it makes keys first. */
const START_MS = 45_000
const PROBE_ADDRESS = '127.9.9.9'

/** Pebble's names for the resources of RFC 8555, as its log has them. */
const REQUESTS = {
  newAccount: 'POST /sign-me-up ',
  newOrder: 'POST /order-plz ',
  finalize: 'POST /finalize-order/',
  challenge: 'POST /chalZ/',
  certificate: 'POST /certZ/',
} as const

/** Starts Pebble and its DNS; both end with the test. */
export async function startPebble(t: Lifetime, options: PebbleOptions = {}): Promise<Pebble> {
  const pebble = await Pebble.create(t, options)
  t.after(async () => await pebble.kill())
  await pebble.start()
  return pebble
}

/** Starts one Pebble for all tests of a file, to be called outside of them; each test visits it, one at a time. */
export async function sharePebble(options: PebbleOptions = {}): Promise<(t: TestContext) => PebbleVisit> {
  const pebble = await startPebble({ after }, options)
  return (t) => new PebbleVisit(t, pebble)
}

/** A shared Pebble as if it had been started for this test: with counts of its own, and names that resolve again afterwards. */
class PebbleVisit {
  readonly directoryUrl: string
  readonly caFile: string
  readonly httpPort: number
  readonly tlsPort: number
  readonly #pebble: Pebble
  readonly #before: Readonly<Record<keyof typeof REQUESTS, number>>
  readonly #accountsBefore: number
  readonly #changed = new Set<string>()

  constructor(t: TestContext, pebble: Pebble) {
    this.#pebble = pebble
    this.directoryUrl = pebble.directoryUrl
    this.caFile = pebble.caFile
    this.httpPort = pebble.httpPort
    this.tlsPort = pebble.tlsPort
    const count = (kind: keyof typeof REQUESTS): number => pebble.requests(kind)
    this.#before = {
      newAccount: count('newAccount'),
      newOrder: count('newOrder'),
      finalize: count('finalize'),
      challenge: count('challenge'),
      certificate: count('certificate'),
    }
    this.#accountsBefore = pebble.accounts()
    t.after(async () => {
      for (const host of this.#changed) await pebble.setAddresses(host, ['127.0.0.1'])
    })
  }

  requests(kind: keyof typeof REQUESTS): number {
    return this.#pebble.requests(kind) - this.#before[kind]
  }

  accounts(): number {
    return this.#pebble.accounts() - this.#accountsBefore
  }

  async setAddresses(host: string, ipv4: readonly string[]): Promise<void> {
    this.#changed.add(host)
    await this.#pebble.setAddresses(host, ipv4)
  }
}

class Pebble {
  readonly directoryUrl: string
  /** PEM of the root to trust when talking to Pebble: what `tls.acme_ca_file` takes. */
  readonly caFile: string
  readonly httpPort: number
  readonly tlsPort: number
  /** What Pebble has printed since its first start. */
  readonly output = new Output()

  readonly #setup: Setup
  #processes: ChildProcess[] = []

  private constructor(setup: Setup) {
    this.#setup = setup
    this.directoryUrl = `https://127.0.0.1:${setup.acmePort}/dir`
    this.caFile = setup.ca.certPath
    this.httpPort = setup.httpPort
    this.tlsPort = setup.tlsPort
  }

  /** Its name server, as `host:port`. */
  get nameServer(): string {
    return `127.0.0.1:${this.#setup.dnsPort}`
  }

  static async create(t: Lifetime, options: PebbleOptions): Promise<Pebble> {
    const directory = temporaryDirectory(t)
    const ca = await TestCa.create(t)
    const { certPath, keyPath } = await ca.issue(['127.0.0.1', 'localhost'])
    const setup: Setup = {
      ca,
      configPath: join(directory, 'pebble.json'),
      acmePort: await freePort(),
      managementPort: await freePort(),
      dnsPort: await freePort(),
      dnsManagementPort: await freePort(),
      httpPort: options.httpPort ?? (await freePort()),
      tlsPort: options.tlsPort ?? (await freePort()),
      environment: {
        PEBBLE_VA_NOSLEEP: '1',
        PEBBLE_WFE_NONCEREJECT: String(options.nonceRejectPercent ?? 0),
        PEBBLE_AUTHZREUSE: String(options.authorizationReusePercent ?? 0),
        PEBBLE_ALTERNATE_ROOTS: String(options.alternateRoots ?? 0),
      },
    }
    const pebble = {
      listenAddress: `127.0.0.1:${setup.acmePort}`,
      managementListenAddress: `127.0.0.1:${setup.managementPort}`,
      certificate: certPath,
      privateKey: keyPath,
      httpPort: setup.httpPort,
      tlsPort: setup.tlsPort,
      ocspResponderURL: '',
      certificateValidityPeriod: options.certificateLifetimeSecs ?? 90 * 86_400,
      externalAccountBindingRequired: options.externalAccounts !== undefined,
      externalAccountMACKeys: options.externalAccounts ?? {},
    }
    await writeFile(setup.configPath, JSON.stringify({ pebble }))
    return new Pebble(setup)
  }

  /** Starts it, again on the same ports; a fresh Pebble knows no account, order or root of the one before. */
  async start(): Promise<void> {
    const { configPath, environment, managementPort, dnsPort, dnsManagementPort } = this.#setup
    const dns = ['-dns01', `127.0.0.1:${dnsPort}`, '-management', `127.0.0.1:${dnsManagementPort}`]
    const noIpv6 = ['-defaultIPv6', '']
    const unused = ['-http01', '', '-https01', '', '-tlsalpn01', '']
    this.#spawn('pebble-challtestsrv', [...dns, ...noIpv6, ...unused], {})
    this.#spawn('pebble', ['-config', configPath, '-dnsserver', `127.0.0.1:${dnsPort}`], environment)
    await waitFor(
      'Pebble answers',
      async () => {
        if (this.#processes.some((child) => child.exitCode !== null)) throw new Error(this.output.text)
        await fetch(`http://127.0.0.1:${dnsManagementPort}/`)
        return await this.#get(`https://127.0.0.1:${managementPort}/roots/0`)
      },
      START_MS,
    )
    await waitFor('its own name server answers', async () => await this.#hasOwnNameServer(), START_MS)
  }

  /** pebble-challtestsrv goes on when its DNS port is taken; Pebble would then ask whoever has that. */
  async #hasOwnNameServer(): Promise<boolean> {
    const host = `probe-${randomUUID()}.test`
    await this.#tellDns('add-a', { host, addresses: [PROBE_ADDRESS] })
    const resolver = new Resolver({ timeout: 2_000, tries: 1 })
    resolver.setServers([this.nameServer])
    const [address] = await resolver.resolve4(host).catch(() => [])
    await this.#tellDns('clear-a', { host })
    return address === PROBE_ADDRESS
  }

  /** Gone at once, as from a crash; nothing listens on its ports any more. Idempotent. */
  async kill(): Promise<void> {
    const processes = this.#processes
    this.#processes = []
    for (const child of processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
  }

  /** How often it has been asked since its first start; a request that it refused counts too. */
  requests(kind: keyof typeof REQUESTS): number {
    return this.output.lines.filter((line) => line.includes(REQUESTS[kind])).length
  }

  /** How many accounts have been made since its last start. */
  accounts(): number {
    const counts = this.output.lines.flatMap((line) => /There are now (\d+) accounts/u.exec(line)?.[1] ?? [])
    return Number(counts.at(-1) ?? 0)
  }

  /** PEM of the root of what it issues; another one after every start. */
  async rootPem(): Promise<string> {
    return await this.#get(`https://127.0.0.1:${this.#setup.managementPort}/roots/0`)
  }

  /**
   * What a name resolves to from now on. Without any address, looking it up fails; with none of IPv4
   * alone, it still has the default one.
   */
  async setAddresses(host: string, ipv4: readonly string[], ipv6: readonly string[] = []): Promise<void> {
    const none = ipv4.length + ipv6.length === 0
    await this.#tellDns(none ? 'set-servfail' : 'clear-servfail', { host })
    await this.#tellDns('clear-a', { host })
    await this.#tellDns('clear-aaaa', { host })
    if (ipv4.length > 0) await this.#tellDns('add-a', { host, addresses: ipv4 })
    if (ipv6.length > 0) await this.#tellDns('add-aaaa', { host, addresses: ipv6 })
  }

  /** The CAA records of exactly this name from now on. */
  async setCaa(host: string, policies: readonly { tag: string; value: string }[]): Promise<void> {
    await this.#tellDns('clear-caa', { host: `${host}.` })
    await this.#tellDns('add-caa', { host: `${host}.`, policies })
  }

  /** Adds a TXT record; `host` ends with a dot. */
  async addText(host: string, value: string): Promise<void> {
    await this.#tellDns('set-txt', { host, value })
  }

  async clearText(host: string): Promise<void> {
    await this.#tellDns('clear-txt', { host })
  }

  #spawn(command: string, args: readonly string[], environment: Readonly<Record<string, string>>): void {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    this.output.collect(child.stdout)
    this.output.collect(child.stderr)
    this.#processes.push(child)
  }

  async #tellDns(command: string, body: object): Promise<void> {
    const url = `http://127.0.0.1:${this.#setup.dnsManagementPort}/${command}`
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`pebble-challtestsrv answered ${response.status} to ${command}`)
  }

  async #get(url: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    https
      .get(url, { ca: await readFile(this.caFile), agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (text += chunk))
        response.on('end', () => resolve(text))
        response.on('error', reject)
      })
      .on('error', reject)
    return await promise
  }
}

export type { Pebble, PebbleVisit }

interface Setup {
  readonly ca: TestCa
  readonly configPath: string
  readonly acmePort: number
  readonly managementPort: number
  readonly dnsPort: number
  readonly dnsManagementPort: number
  readonly httpPort: number
  readonly tlsPort: number
  readonly environment: Readonly<Record<string, string>>
}
