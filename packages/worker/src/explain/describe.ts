// Says in words what a stage has decided about an explained request, and why. Pure.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { RouteSettings } from '@reverse-proxy/shared/config/config'
import { upstreamsOf } from '@reverse-proxy/shared/config/sites'
import type { WorkerConfig } from '@reverse-proxy/shared/ipc/messages'
import { normalPath } from '@reverse-proxy/shared/url-path'
import type { StageName } from '../listen/stage-order.ts'
import { servedRouteOf } from '../protocol/exchange.ts'
import type { DryExchange } from './dry-exchange.ts'

/** @param stage one that has run without an error */
export function describeStage(stage: StageName, exchange: DryExchange, config: WorkerConfig): string {
  const { request, client } = exchange
  switch (stage) {
    case 'parse': {
      const path = request.path.replace(/\?.*$/su, '')
      const normal = normalPath(path)
      return `host ${request.host}, path ${path}${normal === path ? '' : `, which is ${normal} to routes`}`
    }
    case 'client':
      return client.forwarded === undefined
        ? `${client.ip}, the peer of the connection`
        : `${client.ip}, as the trusted proxy says`
    case 'route':
      return `site ${servedRouteOf(exchange).siteName}`
    case 'access':
      return describeAccess(servedRouteOf(exchange).settings)
    case 'rate-limit': {
      const { rateLimit } = servedRouteOf(exchange).settings
      const { requestsPerSecond, burst } = rateLimit ?? config.rateLimit
      const whose = rateLimit === undefined ? 'the general one' : `that of ${rateLimit.scope}`
      return `would take a token of ${client.key}: ${requestsPerSecond} a second, burst ${burst}, ${whose}`
    }
    case 'authenticate':
      return describeAuthentication(exchange)
    case 'forward-auth':
      return describeForwardAuth(servedRouteOf(exchange).settings)
    case 'body-limit':
      return `bodies up to ${servedRouteOf(exchange).settings.bodyLimitBytes} bytes`
    case 'action':
      return describeAction(exchange)
    default:
      return assertNever(stage)
  }
}

function describeAccess({ access }: RouteSettings): string {
  if (access === undefined) return 'every address may use it'
  const { allow, deny } = access
  const parts = [
    ...(deny.length > 0 ? [`not denied (${deny.join(' ')})`] : []),
    ...(allow.length > 0 ? [`allowed (${allow.join(' ')})`] : []),
  ]
  return parts.join(', ')
}

function describeAuthentication(exchange: DryExchange): string {
  const { basicAuth } = servedRouteOf(exchange).settings
  if (basicAuth === undefined) return 'no password is asked for'
  return exchange.user === undefined
    ? `a user and password of ${basicAuth.file} are asked for`
    : `would check the password of ${exchange.user} in ${basicAuth.file}; here it is taken for right`
}

function describeForwardAuth({ forwardAuth }: RouteSettings): string {
  if (forwardAuth === undefined) return 'no service is asked'
  const { scheme, authority, path } = forwardAuth
  return `would ask ${scheme}://${authority}${path}; here its answer is taken for 2xx`
}

function describeAction(exchange: DryExchange): string {
  const { response } = exchange
  if (response === undefined) {
    const { action } = servedRouteOf(exchange).settings
    return `sent to ${action.kind === 'proxy' ? peersOf(action).join(' or ') : 'an upstream'}`
  }
  const location = response.headers[response.headers.indexOf('location') + 1]
  return response.headers.includes('location') ? `${response.status} to ${location}` : `${response.status}`
}

/** `http://127.0.0.1:3000` */
export function peersOf(action: Extract<RouteSettings['action'], { kind: 'proxy' }>): readonly string[] {
  return upstreamsOf(action).map((upstream) => {
    if (upstream.kind === 'welcome') return 'the welcome page'
    const { scheme, host, port } = upstream
    return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
  })
}
