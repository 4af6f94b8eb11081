// Resolves the names of upstreams and CAs for one process. Each name has at most one look-up at a time, by Node's DNS
// client in the background; known addresses are used meanwhile. The system's resolver (getaddrinfo) can block a thread
// of a small pool for a long time, so it is the last resort and gets one name at a time.
import { lookup as lookupBySystem, promises as dns } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { codeOf } from '../error-text.ts'
import { candidatesFor, parseHosts, parseResolvConf, readWhenChanged } from './name-files.ts'

export interface Answer {
  readonly addresses: readonly string[]
  readonly ttlSecs: number
}

/** The sources of addresses. */
export interface NameSources {
  nowMs(): number
  /** Addresses by name in lower case. */
  hosts(): ReadonlyMap<string, readonly string[]>
  /** The complete names to query, in order. */
  candidates(name: string): readonly string[]
  /** Queries the name servers. Rejects with ENOTFOUND or ENODATA if the name does not exist, or with another code. */
  query(name: string, family: 4 | 6): Promise<Answer>
  /** Queries the system's resolver, in a thread of Node's pool. Rejects as `query` does. */
  querySystem(name: string): Promise<readonly string[]>
}

type OnResolved = (error: Error | null, addresses: readonly string[]) => void

interface Entry {
  addresses: readonly string[]
  expiresMs: number
  /** Callbacks that wait for the current look-up. */
  waiting: OnResolved[]
  isAsked: boolean
}

/** A shorter time to live is raised to this, to limit the number of look-ups. */
const MIN_TTL_MS = 5_000
const MAX_TTL_MS = 3_600_000
/** An address that expired longer ago may belong to another host now, so a fresh one is awaited. */
const MAX_STALE_MS = 60_000
/** Time before a failed look-up is repeated while the old addresses are used. */
const RETRY_MS = 5_000
/** Timeout of the first attempt; the second has twice as long. */
const QUERY_TIMEOUT_MS = 1_500
const QUERY_TRIES = 2
const MAX_NAMES = 20_000
/** IPv4 first: most local servers listen there, and a failed first attempt loses the TLS session. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1']
const NO_ADDRESSES: readonly string[] = []
const NO_SUCH_NAME: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NONAME', 'EAI_NODATA'])

export class NameResolver {
  readonly #sources: NameSources
  readonly #entries = new Map<string, Entry>()
  /** Serialises the look-ups by the system. */
  #systemQueue: Promise<unknown> = Promise.resolve()

  constructor(sources: NameSources = systemNames()) {
    this.#sources = sources
  }

  /** The `lookup` option of a connection. Resolves addresses and known names without a look-up. */
  readonly lookup: LookupFunction = (name, options, callback) => {
    this.resolve(name, (error, addresses) => {
      const { family } = options
      const all = addresses.map((address) => ({ address, family: isIP(address) }))
      const wanted = family === 4 || family === 6 ? all.filter((entry) => entry.family === family) : all
      const first = wanted[0]
      if (error !== null || first === undefined) callback(error ?? notFound(name), [])
      else if (options.all === true) callback(null, wanted)
      else callback(null, first.address, first.family)
    })
  }

  /** Calls `callback` once, after it has returned. The error's code is ENOTFOUND (no such name) or EAI_FAIL. */
  resolve(name: string, callback: OnResolved): void {
    const known = isIP(name) === 0 ? this.#known(name) : [name]
    if (known === undefined) this.#lookUp(name, callback)
    else process.nextTick(callback, null, known)
  }

  /** @returns undefined if the caller must wait for a look-up */
  #known(name: string): readonly string[] | undefined {
    if (isLocalhost(name)) return LOOPBACK
    const entry = this.#entries.get(name)
    if (entry === undefined || entry.addresses.length === 0) return undefined
    const staleMs = this.#sources.nowMs() - entry.expiresMs
    if (staleMs >= MAX_STALE_MS) return undefined
    if (staleMs >= 0) this.#ask(name, entry)
    return entry.addresses
  }

  #lookUp(name: string, callback: OnResolved): void {
    let entry = this.#entries.get(name)
    if (entry === undefined) {
      // Forget old names first: a reload may have removed them.
      for (const [oldest, { isAsked }] of this.#entries) {
        if (this.#entries.size < MAX_NAMES) break
        if (!isAsked) this.#entries.delete(oldest)
      }
      entry = { addresses: NO_ADDRESSES, expiresMs: 0, waiting: [], isAsked: false }
      this.#entries.set(name, entry)
    }
    entry.waiting.push(callback)
    this.#ask(name, entry)
  }

  #ask(name: string, entry: Entry): void {
    if (entry.isAsked) return
    entry.isAsked = true
    void this.#renew(name, entry)
  }

  /** Never rejects. */
  async #renew(name: string, entry: Entry): Promise<void> {
    let error: Error | null = null
    try {
      const { addresses, ttlSecs } = await this.#find(name)
      const ttlMs = Math.min(Math.max(ttlSecs * 1000, MIN_TTL_MS), MAX_TTL_MS)
      entry.addresses = addresses
      entry.expiresMs = this.#sources.nowMs() + ttlMs
    } catch (cause) {
      error = isNoSuchName(cause) ? notFound(name) : failed(name, cause)
      if (isNoSuchName(cause)) {
        entry.addresses = NO_ADDRESSES
      } else if (entry.addresses.length > 0) {
        // The servers failed, which tells nothing about the name: keep the last addresses.
        entry.expiresMs = this.#sources.nowMs() + RETRY_MS
        error = null
      }
    }
    settle(entry, error)
  }

  async #find(name: string): Promise<Answer> {
    const listed = this.#sources.hosts().get(name.toLowerCase().replace(/\.$/u, ''))
    if (listed !== undefined) return { addresses: listed, ttlSecs: 0 }
    let failure: unknown
    for (const candidate of this.#sources.candidates(name)) {
      try {
        const answer = await this.#query(candidate)
        if (answer !== undefined) return answer
      } catch (error) {
        // SERVFAIL concerns this domain only, so try the next candidate. After any other error it would fail as well.
        if (codeOf(error) !== 'ESERVFAIL') throw error
        failure = error
      }
    }
    if (failure !== undefined) throw asError(failure)
    // mDNS and other sources that the system is configured with.
    const turn = this.#systemQueue.then(async () => await this.#sources.querySystem(name))
    this.#systemQueue = turn.catch(() => {})
    return { addresses: await turn, ttlSecs: 0 }
  }

  /** @returns undefined if the name does not exist */
  async #query(name: string): Promise<Answer | undefined> {
    const outcomes = await Promise.allSettled([this.#sources.query(name, 6), this.#sources.query(name, 4)])
    const addresses: string[] = []
    let ttlSecs = Infinity
    let failure: unknown
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        // A name may have addresses of only one family, and a server may fail for the other.
        if (!isNoSuchName(outcome.reason)) failure = outcome.reason
      } else if (outcome.value.addresses.length > 0) {
        addresses.push(...outcome.value.addresses)
        ttlSecs = Math.min(ttlSecs, outcome.value.ttlSecs)
      }
    }
    if (addresses.length > 0) return { addresses, ttlSecs }
    // No name server listens there: treat it as absent, the system's resolver may have another source.
    if (failure === undefined || codeOf(failure) === 'ECONNREFUSED') return undefined
    throw asError(failure)
  }
}

function settle(entry: Entry, error: Error | null): void {
  const { waiting, addresses } = entry
  entry.waiting = []
  entry.isAsked = false
  for (const callback of waiting) callback(error, addresses)
}

/** RFC 6761 6.3: these names are never queried. */
function isLocalhost(name: string): boolean {
  const lower = name.toLowerCase()
  return lower === 'localhost' || lower === 'localhost.' || lower.endsWith('.localhost')
}

function isNoSuchName(error: unknown): boolean {
  return NO_SUCH_NAME.has(codeOf(error) ?? '')
}

function notFound(name: string): Error {
  return Object.assign(new Error(`${name} has no address`), { code: 'ENOTFOUND' })
}

/** Has its own code: the code of `cause` could also be one of a connection. */
function failed(name: string, cause: unknown): Error {
  return Object.assign(new Error(`the look-up of ${name} failed`, { cause }), { code: 'EAI_FAIL' })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('name look-up failed')
}

/** The sources of this machine. A change of its files applies from the next look-up on. */
export function systemNames(
  hostsPath = '/etc/hosts',
  resolvConfPath = '/etc/resolv.conf',
  servers?: readonly string[],
): NameSources {
  const hosts = readWhenChanged(hostsPath, parseHosts)
  let resolver = newResolver(servers)
  const searchRules = readWhenChanged(resolvConfPath, (text) => {
    // A resolver reads the name servers only once, when it is created.
    resolver = newResolver(servers)
    return parseResolvConf(text)
  })
  return {
    nowMs: () => performance.now(),
    hosts,
    candidates: (name) => candidatesFor(name, searchRules()),
    query: async (name, family) => {
      const options = { ttl: true } as const
      const records = await (family === 6
        ? resolver.resolve6(name, options)
        : resolver.resolve4(name, options))
      return {
        addresses: records.map(({ address }) => address),
        ttlSecs: records.reduce((least, { ttl }) => Math.min(least, ttl), Infinity),
      }
    },
    querySystem: async (name) =>
      await new Promise((resolve, reject) => {
        lookupBySystem(name, { all: true, order: 'verbatim' }, (error, found) => {
          if (error === null) resolve(found.map(({ address }) => address))
          else reject(error)
        })
      }),
  }
}

function newResolver(servers: readonly string[] | undefined): dns.Resolver {
  const resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES })
  if (servers !== undefined) resolver.setServers([...servers])
  return resolver
}
