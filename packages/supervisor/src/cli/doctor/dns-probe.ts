// Queries name servers directly, as a CA does; ignores /etc/hosts.
import type { CaaRecord } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { codeOf } from '@reverse-proxy/shared/error-text'
import type { Answer } from './probes.ts'

const TIMEOUT_MS = 3_000
const TRIES = 2
/** Name servers drop queries that come in a burst. */
const QUERIES_AT_ONCE = 16

/** The name exists and has no such record, or does not exist. */
const NOTHING = new Set(['ENODATA', 'ENOTFOUND'])

export class DnsProbe {
  readonly #resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  readonly #waiting: (() => void)[] = []
  #asking = 0

  /** `servers`: instead of those of this machine. Throws TypeError if one is not an address, with or without port. */
  constructor(servers: readonly string[]) {
    if (servers.length > 0) this.#resolver.setServers(servers)
  }

  async addressesOf(name: string): Promise<Answer<readonly string[]>> {
    const answers = await Promise.all([
      this.#ask(async () => await this.#resolver.resolve4(name)),
      this.#ask(async () => await this.#resolver.resolve6(name)),
    ])
    const found = answers.flatMap((answer) => ('found' in answer ? answer.found : []))
    if (found.length > 0) return { found }
    // A failure of the server is more informative than a missing record.
    const faults = answers.flatMap((answer) => ('fault' in answer ? [answer.fault] : []))
    return { fault: faults.find((fault) => !NOTHING.has(fault)) ?? faults[0] ?? 'ENODATA' }
  }

  async caaOf(name: string): Promise<Answer<readonly CaaRecord[]>> {
    const answer = await this.#ask(async () => await this.#resolver.resolveCaa(name))
    return 'fault' in answer && NOTHING.has(answer.fault) ? { found: [] } : answer
  }

  /** RFC 5321 5.1: without MX records, the domain's own address is where mail goes; "." alone means nowhere. */
  async receivesMail(domain: string): Promise<boolean> {
    const mx = await this.#ask(async () => await this.#resolver.resolveMx(domain))
    if ('found' in mx) return mx.found.some(({ exchange }) => exchange !== '')
    return 'found' in (await this.addressesOf(domain))
  }

  async #ask<Value>(query: () => Promise<Value>): Promise<Answer<Value>> {
    if (this.#asking === QUERIES_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#asking++
    try {
      return { found: await query() }
    } catch (error) {
      return { fault: codeOf(error) ?? String(error) }
    } finally {
      // The longest waiting query runs next.
      const next = this.#waiting.shift()
      if (next === undefined) this.#asking--
      else next()
    }
  }
}
