// Sums the traffic counts of all workers since the supervisor started. The counts of workers that have exited stay;
// the counts of sites that are no longer configured are dropped.
import type { Listener } from '@reverse-proxy/shared/config/config'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import type {
  CountedEvent,
  EventCount,
  SiteCounts,
  TrafficCounts,
} from '@reverse-proxy/shared/traffic-counts'
import { addSiteCounts, emptySiteCounts } from '@reverse-proxy/shared/traffic-counts'

/** The limit of a worker as well; a further detail is counted under its event without a detail. */
const MAX_KINDS = 1_000

export class TrafficTotals {
  readonly #sites = new Map<string, SiteCounts>()
  readonly #events = new Map<string, EventCount>()

  get sites(): readonly SiteCounts[] {
    return [...this.#sites.values()]
  }

  get events(): readonly EventCount[] {
    return [...this.#events.values()]
  }

  add({ sites, events }: TrafficCounts): void {
    for (const counts of sites) addSiteCounts(this.#siteOf(counts.site), counts)
    for (const { event, detail, count } of events) {
      const isNew = !this.#events.has(keyOf(event, detail))
      this.#addEvent({ event, detail: isNew && this.#events.size >= MAX_KINDS ? '' : detail, count })
    }
  }

  /** Drops the counts of every other site; keeps those of requests that reached no site. */
  keepSites(listeners: readonly Pick<Listener, 'sites'>[]): void {
    const names = new Set(listeners.flatMap(({ sites }) => sites.map(siteNameOf)))
    for (const site of this.#sites.keys()) if (site !== '' && !names.has(site)) this.#sites.delete(site)
  }

  #addEvent({ event, detail, count }: EventCount): void {
    const key = keyOf(event, detail)
    const sum = this.#events.get(key)
    if (sum === undefined) this.#events.set(key, { event, detail, count })
    else sum.count += count
  }

  #siteOf(site: string): SiteCounts {
    let sum = this.#sites.get(site)
    if (sum === undefined) {
      sum = emptySiteCounts(site)
      this.#sites.set(site, sum)
    }
    return sum
  }
}

function keyOf(event: CountedEvent, detail: string): string {
  return `${event} ${detail}`
}
