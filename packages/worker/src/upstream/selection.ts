// Selects the peer of an upstream for a request: first the peers that may get it at all, then one of them. Another
// policy is a function in balancer.ts, a kind of Balance, and a case here.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Balance } from '@reverse-proxy/shared/config/balancing'
import type { Exchange } from '../protocol/exchange.ts'
import { byKey, leastRequests, roundRobin } from './balancer.ts'
import type { Peer } from './peer.ts'

/**
 * The peers that are not out; backups only if there are no others. If all are out, the one that is back first.
 * @param tried left out, unless there are no others
 */
export function eligible(peers: readonly Peer[], tried: ReadonlySet<Peer>, nowMs: number): readonly Peer[] {
  const untried = peers.filter((peer) => !tried.has(peer))
  const asked = untried.length > 0 ? untried : peers
  const up = asked.filter((peer) => !peer.isOut(nowMs))
  if (up.length === 0) return asked.toSorted((a, b) => a.outUntilMs - b.outUntilMs).slice(0, 1)
  const primary = up.filter(({ address }) => !address.isBackup)
  return primary.length > 0 ? primary : up
}

export function choose(peers: readonly Peer[], balance: Balance, exchange: Exchange): Peer {
  switch (balance.by) {
    case 'round_robin':
      return roundRobin(peers)
    case 'client':
      return byKey(peers, exchange.client.key)
    case 'header':
    case 'cookie': {
      const { rawHeaders } = exchange.head
      const key =
        balance.by === 'header' ? headerOf(rawHeaders, balance.name) : cookieOf(rawHeaders, balance.name)
      // A request without the field belongs to no particular peer.
      return key === undefined ? leastRequests(peers, Math.random) : byKey(peers, key)
    }
    case 'least_requests':
      return leastRequests(peers, Math.random)
    default:
      return assertNever(balance)
  }
}

/** @param name in lower case */
function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === name.length && rawHeaders[i]!.toLowerCase() === name)
      return rawHeaders[i + 1]
  }
  return undefined
}

/** RFC 6265 4.2.1: pairs, separated by semicolons; over HTTP/2 also in several fields. */
function cookieOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'cookie') continue
    for (const pair of rawHeaders[i + 1]!.split(';')) {
      const at = pair.indexOf('=')
      if (at !== -1 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim()
    }
  }
  return undefined
}
