// The sums of what all workers have counted since the supervisor started; those of workers that are gone stay.
import type { EventCount, SiteCounts, TrafficCounts } from '@reverse-proxy/shared/traffic-counts'
import { addSiteCounts, emptySiteCounts } from '@reverse-proxy/shared/traffic-counts'

export class TrafficBook {
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
      const key = `${event} ${detail}`
      const sum = this.#events.get(key)
      if (sum === undefined) this.#events.set(key, { event, detail, count })
      else sum.count += count
    }
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
