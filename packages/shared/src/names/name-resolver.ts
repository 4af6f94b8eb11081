// Addresses of names for one process: upstreams, CAs. Each name has at most one look-up at a time, which runs in the
// background by the runtime's own DNS client; what is known is used meanwhile. The system's resolver (getaddrinfo)
// blocks a thread of a small pool for as long as it likes, so it is asked last, and for one name at a time.
import { lookup as lookupBySystem, promises as dns } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { codeOf } from '../error-text.ts'
import { candidatesFor, parseHosts, parseResolvConf, readWhenChanged } from './name-files.ts'

export interface Answer {
  readonly addresses: readonly string[]
  readonly ttlSecs: number
}

/** Where names come from. */
export interface NameSources {
  nowMs(): number
  /** Addresses by name in lower case. */
  hosts(): ReadonlyMap<string, readonly string[]>
  /** The complete names to ask for. */
  candidates(name: string): readonly string[]
  /** Asks the name servers. Rejects with ENOTFOUND or ENODATA if there is no such name, otherwise with another code. */
  query(name: string, family: 4 | 6): Promise<Answer>
  /** Asks the system, in a thread of the runtime's pool. Rejects as `query` does. */
  querySystem(name: string): Promise<readonly string[]>
}

type OnResolved = (error: Error | null, addresses: readonly string[]) => void

interface Entry {
  addresses: readonly string[]
  expiresMs: number
  /** Waiting for the look-up that is under way. */
  waiting: OnResolved[]
  isAsked: boolean
}

/** Shorter times to live cost more look-ups than they are worth. */
const MIN_TTL_MS = 5_000
const MAX_TTL_MS = 3_600_000
/** An answer that has been stale for longer may have become somebody else's address; a fresh one is waited for. */
const MAX_STALE_MS = 60_000
/** How long a failed look-up is not repeated while an old answer serves. */
const RETRY_MS = 5_000
/** For each attempt, and twice as long for the second. */
const QUERY_TIMEOUT_MS = 1_500
const QUERY_TRIES = 2
const MAX_NAMES = 20_000
/** IPv4 first: nearly everything local listens there, and a first attempt that fails loses the TLS session. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1']
const NO_ADDRESSES: readonly string[] = []
const NO_SUCH_NAME: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NONAME', 'EAI_NODATA'])

export class NameResolver {
  readonly #sources: NameSources
  readonly #entries = new Map<string, Entry>()
  /** The look-ups by the system, one after the other. */
  #systemQueue: Promise<unknown> = Promise.resolve()

  constructor(sources: NameSources = systemNames()) {
    this.#sources = sources
  }

  /** To be the `lookup` of a connection. Answers addresses and known names without a look-up. */
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

  /** Calls back once, and never before it returns. The error's code is ENOTFOUND (no such name) or EAI_FAIL. */
  resolve(name: string, callback: OnResolved): void {
    const known = isIP(name) === 0 ? this.#known(name) : [name]
    if (known === undefined) this.#lookUp(name, callback)
    else process.nextTick(callback, null, known)
  }

  /** @returns undefined if a look-up has to be waited for */
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
      // Entries of names that reloads have removed, oldest first.
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
        // The servers fail, which says nothing about the name: what they last said goes on.
        entry.expiresMs = this.#sources.nowMs() + RETRY_MS
        error = null
      }
    }
    tell(entry, error)
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
        // A domain that is broken says nothing about the next one; a silent server is silent for all.
        if (codeOf(error) !== 'ESERVFAIL') throw error
        failure = error
      }
    }
    if (failure !== undefined) throw asError(failure)
    // mDNS, and whatever else the system has been set up with.
    const turn = this.#systemQueue.then(async () => await this.#sources.querySystem(name))
    this.#systemQueue = turn.catch(() => {})
    return { addresses: await turn, ttlSecs: 0 }
  }

  /** @returns undefined: there is no such name */
  async #query(name: string): Promise<Answer | undefined> {
    const outcomes = await Promise.allSettled([this.#sources.query(name, 6), this.#sources.query(name, 4)])
    const addresses: string[] = []
    let ttlSecs = Infinity
    let failure: unknown
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        // A name may have addresses of one family, and a server may fail for the other.
        if (!isNoSuchName(outcome.reason)) failure = outcome.reason
      } else if (outcome.value.addresses.length > 0) {
        addresses.push(...outcome.value.addresses)
        ttlSecs = Math.min(ttlSecs, outcome.value.ttlSecs)
      }
    }
    if (addresses.length > 0) return { addresses, ttlSecs }
    // Nothing listens at the name server's address: treat it as absent; the system may know another way.
    if (failure === undefined || codeOf(failure) === 'ECONNREFUSED') return undefined
    throw asError(failure)
  }
}

function tell(entry: Entry, error: Error | null): void {
  const { waiting, addresses } = entry
  entry.waiting = []
  entry.isAsked = false
  for (const callback of waiting) callback(error, addresses)
}

/** RFC 6761 6.3: never asked of anybody. */
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

/** @param cause has a code that could also be one of a connection */
function failed(name: string, cause: unknown): Error {
  return Object.assign(new Error(`the look-up of ${name} failed`, { cause }), { code: 'EAI_FAIL' })
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('name look-up failed')
}

/** Those of this machine; changes of its files count from the next look-up on. */
export function systemNames(
  hostsPath = '/etc/hosts',
  resolvConfPath = '/etc/resolv.conf',
  servers?: readonly string[],
): NameSources {
  const hosts = readWhenChanged(hostsPath, parseHosts)
  let resolver = newResolver(servers)
  const searchRules = readWhenChanged(resolvConfPath, (text) => {
    // It reads the name servers once, when it is made.
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
