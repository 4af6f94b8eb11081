// Which rules for bans a configuration has. Pure.
import type { BanRule, Site } from '../config/config.ts'

export interface BanSettings {
  readonly ban?: BanRule | undefined
  readonly listeners: readonly { readonly sites: readonly Pick<Site, 'ban'>[] }[]
}

/** By scope. Empty: nobody is ever banned. */
export function banRulesOf({ ban, listeners }: BanSettings): ReadonlyMap<string, BanRule> {
  const rules = new Map<string, BanRule>()
  if (ban !== undefined) rules.set(ban.scope, ban)
  for (const { sites } of listeners)
    for (const site of sites) if (site.ban) rules.set(site.ban.scope, site.ban)
  return rules
}
