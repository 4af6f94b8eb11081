// The worker's side of bans: reports responses that count as offences to the supervisor, which counts them over the whole
// proxy and decides; and knows who is banned. Nothing trusted is ever reported or refused.
import { applyBans } from '@reverse-proxy/shared/bans/ban-changes'
import { BanList, clientIdOf } from '@reverse-proxy/shared/bans/ban-list'
import { banRulesOf, type BanSettings } from '@reverse-proxy/shared/bans/ban-rules'
import type { Timers } from '@reverse-proxy/shared/clock'
import type { BanRule, ClientSettings } from '@reverse-proxy/shared/config/config'
import type { OffenceReport } from '@reverse-proxy/shared/ipc/messages'
import { bucketKey } from '@reverse-proxy/shared/rate-limit/rate-limits'
import type { Client } from '../connection/client-connection.ts'
import { IpNetworks } from './ip-networks.ts'

/** Offences of this time are reported together: a flood of them costs a hundred messages a second. */
const REPORT_INTERVAL_MS = 10

interface WorkerBanSettings extends BanSettings {
  readonly listeners: readonly (BanSettings['listeners'][number] & {
    readonly clients?: ClientSettings | undefined
  })[]
}

export interface BansOptions {
  readonly send: (report: OffenceReport) => void
  readonly timers: Timers
  /** 32 random bits. */
  readonly seed: number
}

export class Bans {
  readonly #options: BansOptions
  readonly #list: BanList
  /** Counts by scope and client. */
  readonly #offences = new Map<string, number>()
  /** For requests whose site has no rule of its own. */
  #general: BanRule | undefined
  /** The proxies that any listener trusts. */
  #trusted = new IpNetworks([])

  constructor(options: BansOptions) {
    this.#options = options
    this.#list = new BanList(options.seed)
  }

  /** Without any rule all bans are lifted. */
  configure(config: WorkerBanSettings): void {
    this.#general = config.ban
    this.#trusted = new IpNetworks(config.listeners.flatMap(({ clients }) => clients?.trustedProxies ?? []))
    if (banRulesOf(config).size === 0) this.#list.clear()
  }

  /** Packed: see ban-changes.ts. */
  apply(changes: Uint32Array): void {
    applyBans(changes, this.#list, this.#options.timers.nowMs())
  }

  isBanned({ ip, key }: Pick<Client, 'ip' | 'key'>): boolean {
    if (this.#list.size === 0) return false
    const id = clientIdOf(key)
    if (id === undefined || this.#list.endMsOf(id, this.#options.timers.nowMs()) === undefined) return false
    // The /64 of a trusted proxy may have others in it.
    return !this.#trusted.has(ip)
  }

  /**
   * To be called with the status of every response.
   * @param ownRule of the site; undefined: the general rule holds
   */
  note(client: Client, status: number, ownRule: BanRule | undefined): void {
    const rule = ownRule ?? this.#general
    if (rule === undefined || !rule.statuses.includes(status)) return
    if (this.#trusted.has(client.ip) || this.isBanned(client)) return
    const key = bucketKey(rule.scope, client.key)
    if (this.#offences.size === 0) this.#options.timers.after(REPORT_INTERVAL_MS, () => this.flush())
    this.#offences.set(key, (this.#offences.get(key) ?? 0) + 1)
  }

  /** Reports what has not been reported yet. */
  flush(): void {
    if (this.#offences.size === 0) return
    const offences = Array.from(this.#offences, ([key, count]) => ({ key, count }))
    this.#offences.clear()
    this.#options.send({ type: 'offences', offences })
  }
}
