// Decides which clients are banned: counts the offences that all workers report, and sends bans to every worker. Bans
// outlive workers and reloads, but not the supervisor.
import { packBanList, packBans } from '@reverse-proxy/shared/bans/ban-changes'
import { BanList, clientIdOf, clientKeyOf, type ClientId } from '@reverse-proxy/shared/bans/ban-list'
import { clientKey } from '@reverse-proxy/shared/client-key'
import type { BanRule } from '@reverse-proxy/shared/config/config'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import type { OffenceReport } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { parseBucketKey } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { OffenceCounts } from './offence-counts.ts'

export interface BansOptions {
  readonly log: Log
  /** Monotonic. */
  readonly nowMs: () => number
  /** 32 random bits. */
  readonly seed: number
  /** Sends packed changes to every worker: see ban-changes.ts. */
  readonly publish: (changes: Uint32Array) => void
  /** Fewer for tests. */
  readonly capacity?: number
}

export interface Ban {
  /** IPv4 address, or IPv6 /64. */
  readonly client: string
  readonly leftMs: number
}

export type UnbanFault = 'no-address' | 'not-banned'

/** A full list is swept no more often than that. */
const SWEEP_INTERVAL_MS = 1_000

export class Bans {
  readonly #options: BansOptions
  readonly #list: BanList
  readonly #counts = new OffenceCounts()
  #rules: ReadonlyMap<string, BanRule> = new Map()
  #sweptMs = -Infinity
  #isFull = false

  constructor(options: BansOptions) {
    this.#options = options
    this.#list = new BanList(options.seed, options.capacity)
  }

  /** Bans outlast a change of the rules, but not the removal of the last rule; workers do the same by themselves. */
  configure(rules: ReadonlyMap<string, BanRule>): void {
    this.#rules = rules
    if (rules.size > 0) return
    this.#list.clear()
    this.#counts.clear()
  }

  /** From a worker, which reports no trusted address. */
  report(offences: OffenceReport['offences']): void {
    const nowMs = this.#options.nowMs()
    const banned = offences.flatMap(({ key, count }) => this.#count(key, count, nowMs) ?? [])
    if (banned.length > 0) this.#options.publish(packBans(banned))
  }

  /** @returns undefined if the ban is lifted */
  unban(address: string): UnbanFault | undefined {
    const client = clientOf(address)
    if (client === undefined) return 'no-address'
    const { id, key } = client
    const { nowMs, log, publish } = this.#options
    if (this.#list.endMsOf(id, nowMs()) === undefined) return 'not-banned'
    this.#list.delete(id)
    this.#counts.forget(key)
    log.info('UNBAN', { client_ip: key })
    publish(packBans([{ ...id, leftMs: 0 }]))
    return undefined
  }

  /** Number of clients that are banned now. */
  get size(): number {
    this.#list.sweep(this.#options.nowMs())
    return this.#list.size
  }

  /** In no order. */
  *list(): Generator<Ban> {
    const nowMs = this.#options.nowMs()
    for (const ban of this.#list.entries(nowMs)) yield { client: clientKeyOf(ban), leftMs: ban.endMs - nowMs }
  }

  /** The ban of a client; undefined: not banned, or no address. */
  of(address: string): Ban | undefined {
    const client = clientOf(address)
    const nowMs = this.#options.nowMs()
    const endMs = client && this.#list.endMsOf(client.id, nowMs)
    return client === undefined || endMs === undefined
      ? undefined
      : { client: client.key, leftMs: endMs - nowMs }
  }

  /** For a worker that starts; packed. */
  get packed(): Uint32Array {
    return packBanList(this.#list, this.#options.nowMs())
  }

  /** @returns the new ban of the client, if it is one too many */
  #count(key: string, count: number, nowMs: number): (ClientId & { readonly leftMs: number }) | undefined {
    const { scope, client } = parseBucketKey(key)
    const rule = this.#rules.get(scope)
    const id = clientIdOf(client)
    // The worker has not heard yet that the rule is gone, or that the client is banned.
    if (rule === undefined || id === undefined || this.#list.endMsOf(id, nowMs) !== undefined)
      return undefined
    if (!this.#counts.add(client, count, rule, nowMs)) return undefined
    if (!this.#insert(id, nowMs + rule.forMs, nowMs)) return undefined
    const host = scope === '' ? undefined : scope
    this.#options.log.warn('BAN', { client_ip: client, host, for_secs: rule.forMs / 1000 })
    return { ...id, leftMs: rule.forMs }
  }

  #insert(id: ClientId, endMs: number, nowMs: number): boolean {
    if (this.#list.set(id, endMs)) return true
    if (nowMs >= this.#sweptMs + SWEEP_INTERVAL_MS) {
      this.#sweptMs = nowMs
      this.#list.sweep(nowMs)
      if (this.#list.set(id, endMs)) {
        this.#isFull = false
        return true
      }
    }
    if (!this.#isFull) this.#options.log.error('BANS_FULL', { bans: this.#list.size })
    this.#isFull = true
    return false
  }
}

/** @param address of a client, or its IPv6 /64 */
function clientOf(address: string): { readonly key: string; readonly id: ClientId } | undefined {
  const parsed = parseIpAddress(address.endsWith('/64') ? address.slice(0, -'/64'.length) : address)
  if (parsed === undefined) return undefined
  const key = clientKey(parsed.text)
  const id = clientIdOf(key)
  return id && { key, id }
}
