// How many there are: of what a configuration has, and in words.
import type { Config } from '@reverse-proxy/shared/config/config'

/** Over all listeners. */
export function siteCount({ listeners }: Pick<Config, 'listeners'>): number {
  return listeners.reduce((sum, { sites }) => sum + sites.length, 0)
}

/** `1 site`, `2 sites` */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
