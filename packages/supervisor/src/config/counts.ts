// Counts of a configuration.
import { availableParallelism } from 'node:os'
import type { Config } from '@reverse-proxy/shared/config/config'

/** Over all listeners. */
export function siteCount({ listeners }: Pick<Config, 'listeners'>): number {
  return listeners.reduce((sum, { sites }) => sum + sites.length, 0)
}

export function workerCount({ workers }: Pick<Config, 'workers'>): number {
  return workers === 'auto' ? availableParallelism() : workers
}
