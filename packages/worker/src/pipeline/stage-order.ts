// The stages that a request for a site passes, in their order.
import type { Limits } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Bans } from '../access/bans.ts'
import type { PasswordChecks } from '../access/password-checks.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import type { EventCounter } from '../observability/metrics.ts'
import type { Exchange } from '../protocol/exchange.ts'
import type { Router } from './router.ts'
import type { ServedSite } from './sites.ts'
import type { Stage } from './stage.ts'
import { AccessStage } from './stages/access.ts'
import { AuthenticateStage } from './stages/authenticate.ts'
import { BodyLimitStage } from './stages/body-limit.ts'
import { ClientStage } from './stages/client.ts'
import { DispatchStage } from './stages/dispatch.ts'
import { ParseStage } from './stages/parse.ts'
import { RateLimitStage, type RateLimitDecisions } from './stages/rate-limit.ts'
import { RouteStage } from './stages/route.ts'

export interface StageDeps {
  readonly limits: () => Limits
  /** Undefined: no proxy in front is trusted. */
  readonly proxies: () => TrustedProxies | undefined
  readonly router: () => Router<ServedSite>
  readonly bans: Pick<Bans, 'isBanned'>
  readonly rateLimiter: RateLimitDecisions
  readonly passwords: Pick<PasswordChecks, 'check'>
  readonly log: Log
  readonly metrics: EventCounter
  /** Continues a request that had to wait. */
  readonly resume: (exchange: Exchange) => void
}

export type StageName =
  | 'parse'
  | 'client'
  | 'route'
  | 'access'
  | 'rate-limit'
  | 'authenticate'
  | 'body-limit'
  | 'action'

export interface NamedStage {
  readonly name: StageName
  readonly stage: Stage
}

export function createStages(deps: StageDeps): readonly NamedStage[] {
  const { rateLimiter, passwords, log, metrics, resume } = deps
  return [
    { name: 'parse', stage: new ParseStage(deps.limits) },
    { name: 'client', stage: new ClientStage(deps.proxies) },
    { name: 'route', stage: new RouteStage(deps.router) },
    { name: 'access', stage: new AccessStage(deps.bans) },
    { name: 'rate-limit', stage: new RateLimitStage(rateLimiter, log, metrics, resume) },
    { name: 'authenticate', stage: new AuthenticateStage(passwords, log, metrics, resume) },
    { name: 'body-limit', stage: new BodyLimitStage() },
    { name: 'action', stage: new DispatchStage() },
  ]
}
