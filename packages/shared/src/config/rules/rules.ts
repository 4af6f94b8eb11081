// Every rule that needs no other file. Each yields all violations that it finds. Rules get a configuration in which
// every value that breaks the schema is undefined, and ignore those, so that one mistake does not hide another.
import type { ConfigIssue } from '../issues.ts'
import type { Rule, RuleContext } from './rule.ts'
import {
  ruleClientAuth,
  ruleForwardAuth,
  ruleForwardAuthorization,
  ruleNetworks,
  ruleTrustedProxies,
} from './access.ts'
import {
  ruleBindAddresses,
  ruleHealthPort,
  rulePlainPorts,
  rulePorts,
  ruleSamePorts,
  ruleWildcardBind,
} from './listeners.ts'
import { ruleActions, rulePrefixes, ruleRedirects, ruleResponds } from './actions.ts'
import { ruleHeaderChanges } from './headers.ts'
import { ruleAmbiguousRoutes, ruleRouteConditions, ruleRoutePaths } from './routes.ts'
import { ruleTilde } from './paths.ts'
import {
  ruleHosts,
  ruleListenerSites,
  rulePeers,
  ruleUniqueHosts,
  ruleUnusedKeys,
  ruleUpstreams,
} from './sites.ts'
import {
  ruleAcmeAccount,
  ruleAcmeChallenge,
  ruleAcmeDomainCount,
  ruleAcmeDomains,
  ruleCacheDirs,
  ruleCoverage,
  ruleModeKeys,
} from './tls.ts'
import type { ConfigFile, Valid } from '../schema.ts'

const RULES: readonly Rule[] = [
  ruleBindAddresses,
  ruleWildcardBind, // 2
  rulePorts, // 3, 10
  ruleSamePorts, // 11
  rulePlainPorts,
  ruleHealthPort, // 14
  ruleNetworks,
  ruleTrustedProxies,
  ruleClientAuth,
  ruleForwardAuth,
  ruleForwardAuthorization,
  ruleListenerSites, // 6
  ruleHosts, // 6, 15, 16
  ruleUniqueHosts, // 7
  rulePeers,
  ruleUpstreams, // 6, 17
  ruleActions, // 6
  ruleRedirects,
  ruleResponds,
  rulePrefixes,
  ruleHeaderChanges,
  ruleRoutePaths,
  ruleRouteConditions,
  ruleAmbiguousRoutes,
  ruleUnusedKeys,
  ruleTilde,
  ruleModeKeys, // 4
  ruleAcmeDomainCount, // 4
  ruleAcmeDomains, // 16, 21
  ruleAcmeAccount, // 19
  ruleCacheDirs, // 20
  ruleCoverage, // 23
  ruleAcmeChallenge, // 24, 25
]

export function checkRules(file: Valid<ConfigFile>, context: RuleContext): ConfigIssue[] {
  return RULES.flatMap((rule) => [...rule(file, context)])
}
