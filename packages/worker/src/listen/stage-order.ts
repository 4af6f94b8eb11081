// The stages that a request for a site passes, in their order.
import type { Limits } from '@reverse-proxy/shared/config/config'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Bans } from '../access/bans.ts'
import type { PasswordChecks } from '../access/password-checks.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import type { EventCounter } from '../observability/metrics.ts'
import type { Exchange } from '../protocol/exchange.ts'
import type { Router } from '../pipeline/router.ts'
import type { ServedSite } from '../pipeline/sites.ts'
import type { Stage } from '../pipeline/stage.ts'
import { AccessStage } from '../pipeline/stages/access.ts'
import { AuthenticateStage } from '../pipeline/stages/authenticate.ts'
import { BodyLimitStage } from '../pipeline/stages/body-limit.ts'
import { ClientStage } from '../pipeline/stages/client.ts'
import { DispatchStage } from '../pipeline/stages/dispatch.ts'
import { GateStage } from '../pipeline/stages/gate.ts'
import { ParseStage } from '../pipeline/stages/parse.ts'
import { RateLimitStage, type RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import { RouteStage } from '../pipeline/stages/route.ts'

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
  | 'forward-auth'
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
    { name: 'forward-auth', stage: new GateStage(resume) },
    { name: 'body-limit', stage: new BodyLimitStage() },
    { name: 'action', stage: new DispatchStage() },
  ]
}
