// The shape of a rule, and how rules walk a file with missing parts.
import type { ConfigIssue, ConfigPath } from './issues.ts'
import type { ConfigFile, ListenerFile, SiteFile, Valid, TlsFile } from './schema.ts'

export interface RuleContext {
  /** The command line's --allow-wildcard-bind. */
  readonly allowWildcardBind: boolean
  /** A path of the file as an absolute one. */
  readonly resolvePath: (path: string) => string
  /** A name with letters outside ASCII in its `xn--` form; '' when it has none. */
  readonly toAscii: (name: string) => string
}

/** Yields every breach; has no opinion on what is undefined. */
export type Rule = (file: Valid<ConfigFile>, context: RuleContext) => Iterable<ConfigIssue>

export interface Located<T> {
  readonly value: T
  readonly at: ConfigPath
}

export function* listenersOf(file: Valid<ConfigFile>): Generator<Located<Valid<ListenerFile>>> {
  for (const [index, value] of (file.listeners ?? []).entries()) {
    if (value !== undefined) yield { value, at: ['listeners', index] }
  }
}

export function* sitesOf(listener: Located<Valid<ListenerFile>>): Generator<Located<Valid<SiteFile>>> {
  for (const [index, value] of (listener.value.sites ?? []).entries()) {
    if (value !== undefined) yield { value, at: [...listener.at, 'sites', index] }
  }
}

export function* everySiteOf(file: Valid<ConfigFile>): Generator<Located<Valid<SiteFile>>> {
  for (const listener of listenersOf(file)) yield* sitesOf(listener)
}

export function* tlsOf(file: Valid<ConfigFile>): Generator<Located<Valid<TlsFile>>> {
  for (const { value, at } of listenersOf(file)) {
    if (value.tls !== undefined) yield { value: value.tls, at: [...at, 'tls'] }
  }
}
