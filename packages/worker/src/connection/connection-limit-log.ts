// Logs connections that a limit refuses. A refused client can come again at once, so there is at most one line a second
// for each client and limit, with a count.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'
import type { ConnectionLimitName } from './connection-limits.ts'
import type { Timers } from '@reverse-proxy/shared/clock'

const PERIOD_MS = 1_000
/** Clients with lines of their own in a period; further ones are counted together. */
const MAX_LINES = 100

interface Refused {
  readonly clientIp: string | undefined
  readonly limit: ConnectionLimitName
  /** Refused connections since its last line. */
  count: number
}

export class ConnectionLimitLog {
  readonly #log: Log
  readonly #metrics: EventCounter
  readonly #timers: Timers
  readonly #refused = new Map<string, Refused>()

  constructor(log: Log, metrics: EventCounter, timers: Timers) {
    this.#log = log
    this.#metrics = metrics
    this.#timers = timers
  }

  /** @param client a key of shared/client-key */
  add(client: string, clientIp: string, limit: ConnectionLimitName): void {
    const own = `${limit} ${client}`
    const isOwn = this.#refused.has(own) || this.#refused.size < MAX_LINES
    const key = isOwn ? own : limit
    const known = this.#refused.get(key)
    if (known !== undefined) {
      known.count += 1
      return
    }
    if (this.#refused.size === 0) this.#flushLater()
    const refused = { clientIp: isOwn ? clientIp : undefined, limit, count: 1 }
    this.#refused.set(key, refused)
    if (isOwn) this.#write(refused)
  }

  #write(refused: Refused): void {
    const { clientIp, limit, count } = refused
    refused.count = 0
    this.#metrics.count('connection_refused', limit, count)
    this.#log.warn('CONNECTION_LIMIT', { client_ip: clientIp, limit, count })
  }

  #flushLater(): void {
    this.#timers.after(PERIOD_MS, () => {
      for (const [key, refused] of this.#refused) {
        if (refused.count === 0) this.#refused.delete(key)
        else this.#write(refused)
      }
      if (this.#refused.size > 0) this.#flushLater()
    })
  }
}
