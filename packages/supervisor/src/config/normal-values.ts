// Shared by the conversion of a file to the program's configuration: its context, and values of one kind.
import type { BanRule, RateLimit } from '@reverse-proxy/shared/config/config'
import type { ConfigFile } from '@reverse-proxy/shared/config/schema'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Environment } from './environment.ts'

export interface NormaliseContext {
  readonly environment: Environment
  readonly allowWildcardBindFlag: boolean
  readonly resolvePath: (path: string) => string
  /** Contents by absolute path. */
  readonly upstreamCaPem: ReadonlyMap<string, string>
  /** The same of every `client_ca_file`. */
  readonly clientCaPem: ReadonlyMap<string, string>
  /** Contents by absolute path. */
  readonly passwordFiles: ReadonlyMap<string, string>
}

export function toRateLimit(file: ConfigFile['rate_limit']): RateLimit {
  return { requestsPerSecond: file.requests_per_second, burst: file.burst }
}

/** @param scope '': the general rule */
export function toBanRule(file: NonNullable<ConfigFile['ban']>, scope: string): BanRule {
  const { after, within_secs: within, for_secs: forSecs, statuses } = file
  return { after, withinMs: toMs(within), forMs: toMs(forSecs), statuses, scope }
}

/** At least one millisecond: in some places 0 means no timer. */
export function toMs(seconds: number): number {
  return Math.max(1, Math.round(seconds * 1000))
}

export function optionalPath(
  path: string | undefined,
  { resolvePath }: NormaliseContext,
): string | undefined {
  return path === undefined ? undefined : resolvePath(path)
}

export function refuse(value: string): never {
  throw new ProxyError('CONFIG', `${value} passed the checks of the configuration and should not have`)
}
