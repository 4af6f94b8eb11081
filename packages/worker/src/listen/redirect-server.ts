// The server of the plain-HTTP port beside an HTTPS port: answers ACME challenges, and redirects everything else to
// HTTPS. It does not listen itself.
import type { Socket } from 'node:net'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import { siteNameOf } from '@reverse-proxy/shared/config/sites'
import type { Log } from '@reverse-proxy/shared/log-fields'
import { WriteTimeouts } from '../protocol/write-timeouts.ts'
import { nowMs, SWEEP_INTERVAL_MS } from '../node/timers.ts'
import type { EventCounter } from '../observability/metrics.ts'
import { HttpsRedirectHandler } from '../pipeline/handlers/https-redirect.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { DONE, NEXT, type StageResult } from '../pipeline/stage.ts'
import { AcmeHttp01Stage } from '../pipeline/stages/acme-http-01.ts'
import { DispatchStage } from '../pipeline/stages/dispatch.ts'
import { ClientStage } from '../pipeline/stages/client.ts'
import type { Bans } from '../access/bans.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import { ParseStage } from '../pipeline/stages/parse.ts'
import { RateLimitStage, type RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import { RouteStage } from '../pipeline/stages/route.ts'
import type { ServingMode } from '../tls/sni-policy.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import { ClientConnections } from '../connection/client-connections.ts'
import type { Exchange } from '../protocol/exchange.ts'
import { filtersOf, type ServedSite } from '../pipeline/sites.ts'
import { sendText } from '../protocol/error-response.ts'
import { Http1Server } from '../protocol/http1/server.ts'
import { Router } from '../pipeline/router.ts'

export interface RedirectSettings {
  readonly sites: readonly Site[]
  readonly limits: Limits
  readonly httpsPort: number
  /** Undefined: no proxy in front is trusted. */
  readonly proxies?: TrustedProxies | undefined
}

export interface RedirectDeps {
  readonly accessLog: AccessLog
  readonly log: Log
  readonly metrics: EventCounter
  readonly rateLimiter: RateLimitDecisions
  readonly bans: Pick<Bans, 'note'>
  /** The response for the token of an armed http-01 challenge. */
  readonly keyAuthorizationOf: (token: string) => string | undefined
}

export class RedirectServer {
  readonly #http1: Http1Server
  readonly #sweep: NodeJS.Timeout
  readonly #connections = new ClientConnections(() => this.#http1.closeIdle())
  #settings: RedirectSettings
  readonly #pipeline: Pipeline
  #router = new Router<ServedSite>([])
  #mode: ServingMode

  constructor(settings: RedirectSettings, mode: ServingMode, deps: RedirectDeps) {
    this.#mode = mode
    this.#settings = settings
    const stalls = new WriteTimeouts(
      () => this.#settings.limits.bodyStallTimeoutMs,
      nowMs,
      deps.log,
      deps.metrics,
    )
    this.#sweep = setInterval(() => {
      stalls.sweep()
      // Bytes that have arrived meanwhile are read first: no deadline counts the time we stood still.
      setImmediate(() => this.#http1.sweep())
    }, SWEEP_INTERVAL_MS).unref()
    this.#pipeline = new Pipeline(
      [
        new ParseStage(() => this.#settings.limits),
        { run: closeAfterBody },
        new ClientStage(() => this.#settings.proxies),
        new AcmeHttp01Stage(deps.keyAuthorizationOf),
        { run: (exchange) => this.#refuseWhileStarting(exchange) },
        new RouteStage(() => this.#router),
        new RateLimitStage(deps.rateLimiter, deps.log, deps.metrics, (exchange) =>
          this.#pipeline.resume(exchange),
        ),
        new DispatchStage(),
      ],
      deps.log,
    )
    this.#http1 = new Http1Server(settings.limits, {
      exchange: { accessLog: deps.accessLog, stalls, bans: deps.bans, nowMs },
      log: deps.log,
      metrics: deps.metrics,
      handle: (exchange) => this.#pipeline.run(exchange),
      isDraining: () => this.#connections.isDraining,
    })
    this.configure(settings)
  }

  configure(settings: RedirectSettings): void {
    this.#settings = settings
    const { sites, limits, httpsPort } = settings
    this.#router = new Router(redirectedSites(sites, httpsPort))
    this.#http1.configure(limits)
  }

  /** @param socket accepted on any address of the listener, and not used yet */
  adopt(socket: Socket, clientIp: string): void {
    this.#connections.add(socket)
    this.#http1.adopt(socket, { clientIp })
  }

  setServingMode(mode: ServingMode): void {
    this.#mode = mode
  }

  async drain(timeoutMs: number, mayStillAdopt?: () => boolean): Promise<void> {
    await this.#connections.drain(timeoutMs, mayStillAdopt)
    clearInterval(this.#sweep)
  }

  /** There is no certificate for the HTTPS port yet. */
  #refuseWhileStarting(exchange: Exchange): StageResult {
    if (this.#mode !== 'challenge') return NEXT
    sendText(exchange, 503)
    return DONE
  }
}

/** Every host with its site, which redirects to HTTPS whatever it does there. */
export function redirectedSites(
  sites: readonly Site[],
  httpsPort: number,
): readonly (readonly [host: string, site: ServedSite])[] {
  const handler = new HttpsRedirectHandler(httpsPort)
  return sites.flatMap((site) => {
    const own = { siteName: siteNameOf(site), settings: site, filters: filtersOf(site, true), handler }
    return site.hosts.map((host) => [host, { own, routes: undefined }] as const)
  })
}

/** No body is read here. */
function closeAfterBody(exchange: Exchange): StageResult {
  if (exchange.mayHaveBody) exchange.closeAfterwards()
  return NEXT
}
