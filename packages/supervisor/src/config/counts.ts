// Counts of a configuration, and counts in words.
import { availableParallelism } from 'node:os'
import type { Config } from '@reverse-proxy/shared/config/config'

/** Over all listeners. */
export function siteCount({ listeners }: Pick<Config, 'listeners'>): number {
  return listeners.reduce((sum, { sites }) => sum + sites.length, 0)
}

export function workerCount({ workers }: Pick<Config, 'workers'>): number {
  return workers === 'auto' ? availableParallelism() : workers
}

/** `1 site`, `2 sites` */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
