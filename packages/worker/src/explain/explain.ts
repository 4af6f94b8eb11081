// What the proxy does with one request, without sending it: the stages, handlers and filters of a worker run on a request
// that nobody sent. Where one would ask somebody else (tokens, passwords) the answer is yes, and the step says so.
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { WorkerConfig, WorkerListener } from '@reverse-proxy/shared/ipc/messages'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { TrustedProxies } from '../access/trusted-proxies.ts'
import { clientOf } from '../connection/client-connection.ts'
import { redirectedSites } from '../listen/redirect-server.ts'
import { lowerFieldName } from '../message/field-names.ts'
import { systemTimers } from '../node/timers.ts'
import { Pipeline } from '../pipeline/pipeline.ts'
import { Router } from '../pipeline/router.ts'
import { CompiledSites } from '../pipeline/sites.ts'
import { NEXT } from '../pipeline/stage.ts'
import { createStages, type NamedStage, type StageName } from '../listen/stage-order.ts'
import { ADMITTED } from '../ratelimit/limiter.ts'
import { ConnectionBudget } from '../upstream/connection-budget.ts'
import { UpstreamTrust } from '../upstream/connections/trust.ts'
import { upstreamHeadersOf, upstreamPathOf, type Route } from '../upstream/route.ts'
import type { Exchange } from '../protocol/exchange.ts'
import { describeStage, peersOf } from './describe.ts'
import { DryExchange } from './dry-exchange.ts'
import { byName, findCertificate, findListener, isAccepted } from './entrance.ts'
import { parseExplainedUrl, type ExplainedUrl } from './explained-url.ts'
import type {
  ExplainedCertificate,
  ExplainedProxy,
  ExplainedRequest,
  ExplainedUpstream,
  Explanation,
  Field,
  Step,
} from './explanation.ts'
import { SILENT_LOG, SILENT_METRICS } from './silence.ts'

/** The stages of the port that redirects to HTTPS. */
const REDIRECT_STAGES: ReadonlySet<StageName> = new Set(['parse', 'client', 'route', 'rate-limit', 'action'])

/** @throws ProxyError CONFIG for a URL that is none */
export function explain(request: ExplainedRequest, proxy: ExplainedProxy): Explanation {
  const url = parseExplainedUrl(request.url)
  const { config, certificates, isBanned } = proxy
  const steps: Step[] = []
  const nothing = { client: request.from, site: null, route: null, steps, upstream: null, response: null }
  const listener = findListener(url, config.listeners, steps)
  if (listener === undefined) return { listener: null, ...nothing }
  const proxies = listener.clients && new TrustedProxies(listener.clients)
  const ended = { listener: listener.id, ...nothing }
  if (!isAccepted(request.from, listener, proxies, isBanned, steps)) return ended
  const isEncrypted = url.scheme === 'https'
  const certificate = isEncrypted ? findCertificate(url, listener, certificates, steps) : undefined
  if (isEncrypted && certificate === undefined) return ended

  const sent: { upstream: ExplainedUpstream | null } = { upstream: null }
  const compiled = compile(
    listener,
    config,
    (exchange, route) => (sent.upstream = upstreamOf(exchange, route)),
  )
  const isRedirect = !isEncrypted && listener.httpsPort !== 0
  const redirects = new Router(redirectedSites(listener.sites, listener.httpsPort))
  const stages = createStages({
    limits: () => config.limits,
    proxies: () => proxies,
    router: () => (isRedirect ? redirects : compiled.router),
    bans: { isBanned: ({ ip }) => proxies?.has(ip) !== true && isBanned?.(ip) === true },
    rateLimiter: { admit: () => ADMITTED, wait: () => {} },
    passwords: { check: () => ({ kind: 'accepted' }) },
    log: SILENT_LOG,
    metrics: SILENT_METRICS,
    resume: () => {},
  }).filter(({ name }) => !isRedirect || REDIRECT_STAGES.has(name))
  const exchange = newExchange(request, url, certificate)
  runStages(stages, exchange, config, steps)
  compiled.close()

  const { route, response } = exchange
  const routes = listener.sites.flatMap((site) => site.routes)
  return {
    listener: listener.id,
    client: exchange.client.ip,
    site: route?.siteName ?? null,
    route: routes.find((each) => each === route?.settings)?.match.path ?? null,
    steps,
    upstream: sent.upstream,
    response:
      response === undefined
        ? null
        : { status: response.status, headers: pairsOf(response.headers), body: exchange.responseBody },
  }
}

/** The sites of a listener, whose upstreams are never asked. */
function compile(
  { sites, httpsPort }: WorkerListener,
  { limits }: WorkerConfig,
  onForward: (exchange: Exchange, route: Route) => void,
): CompiledSites {
  const deps = {
    trust: new UpstreamTrust(),
    names: new NameResolver(),
    budget: new ConnectionBudget(),
    timers: systemTimers,
  }
  const welcome = { host: '127.0.0.1', port: 0 }
  const compiled = new CompiledSites(
    httpsPort === 0,
    () => welcome,
    deps,
    (route) => ({
      handle: (exchange) => onForward(exchange, route),
    }),
    ({ copyHeaders }) => ({ ask: (exchange) => takeForAllowed(exchange, copyHeaders) }),
  )
  compiled.configure(sites, limits)
  return compiled
}

/** A service that is not asked: the fields of its answer are named in their places. */
function takeForAllowed(exchange: Exchange, copyHeaders: readonly string[]): boolean {
  const list = copyHeaders.flatMap((name) => [name, '(as the service answers)'])
  exchange.copied = { names: new Set(copyHeaders), list }
  return true
}

function newExchange(
  { method, headers, from }: ExplainedRequest,
  { authority, target, scheme }: ExplainedUrl,
  certificate: ExplainedCertificate | undefined,
): DryExchange {
  const hasHost = headers.some(([name]) => lowerFieldName(name) === 'host')
  const names = certificate && byName([certificate])
  return new DryExchange(
    {
      protocol: 'http/1.1',
      method,
      target,
      authority: undefined,
      scheme: undefined,
      rawHeaders: [...(hasHost ? [] : ['Host', authority]), ...headers.flat()],
      endsWithHead: false,
      upgrade: false,
    },
    {
      client: clientOf(from, scheme),
      certificate: names && { covers: (host) => names.lookup(host) !== undefined },
      clientCertificate: undefined,
    },
  )
}

function runStages(
  stages: readonly NamedStage[],
  exchange: DryExchange,
  config: WorkerConfig,
  steps: Step[],
): void {
  const noting = stages.map(({ name, stage }) => ({
    run: () => {
      try {
        const result = stage.run(exchange)
        const passes = result === NEXT || name === 'action'
        steps.push({ step: name, passes, why: describeStage(name, exchange, config) })
        return result
      } catch (error) {
        if (!(error instanceof ProxyError)) throw error
        steps.push({ step: name, passes: false, why: error.message })
        throw error
      }
    },
  }))
  new Pipeline(noting, SILENT_LOG).run(exchange)
}

function upstreamOf(exchange: Exchange, route: Route): ExplainedUpstream {
  const { action, settings } = route
  return {
    peers: peersOf(action),
    method: exchange.head.method,
    path: upstreamPathOf(exchange, route),
    headers: pairsOf(upstreamHeadersOf(exchange, route, exchange.head.rawHeaders).list),
    response_headers: settings.responseHeaders.map(({ name, value }) => [name, value]),
  }
}

function pairsOf(list: readonly string[]): readonly Field[] {
  return list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1] ?? ''] as const] : []))
}
