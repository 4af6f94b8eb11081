// Who gets a connection to an upstream, and when: bounds on requests that wait for a head, on connections of one upstream
// and of the whole worker. Nothing is connected here: a connection that has sent nothing is as good as new.
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import type { ClientConnection } from '../../src/connection/client-connection.ts'
import { systemTimers } from '../../src/node/timers.ts'
import type { Exchange } from '../../src/protocol/exchange.ts'
import { ConnectionBudget } from '../../src/upstream/connection-budget.ts'
import type { UpstreamConnection } from '../../src/upstream/connections/connection.ts'
import type { ConnectionWaiter, TunnelWaiter } from '../../src/upstream/pool.ts'
import { UpstreamTrust } from '../../src/upstream/connections/trust.ts'
import type { TunnelConnection } from '../../src/upstream/connections/tunnel-connection.ts'
import { Upstream } from '../../src/upstream/upstream.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing here looks into it
const NO_CLIENT = { socket: new net.Socket() } as unknown as ClientConnection
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a single peer is picked whatever the request
const NO_EXCHANGE = {} as Exchange

class Asking implements ConnectionWaiter, TunnelWaiter {
  readonly client = NO_CLIENT
  readonly authenticates = false
  connection: UpstreamConnection | undefined
  tunnel: TunnelConnection | undefined

  get isWaiting(): boolean {
    return this.connection === undefined && this.tunnel === undefined
  }

  onConnection(connection: UpstreamConnection): void {
    this.connection = connection
  }

  onTunnelConnection(connection: TunnelConnection): void {
    this.tunnel = connection
  }

  onAcquireFailed(error: Error): void {
    throw error
  }

  /** Its connection is idle from now on. */
  abandon(): void {
    assert.ok(this.connection)
    this.connection.abandon()
  }
}

function upstreamOf(budget: ConnectionBudget, limits: { maxAwaitingHead?: number; maxConnections?: number }) {
  const settings = {
    peers: [{ scheme: 'http', host: '127.0.0.1', port: 1, caPem: undefined, weight: 1, isBackup: false }],
    balance: { by: 'least_requests' },
    failAfter: 3,
    failWindowMs: 10_000,
    retryMs: 0,
    maxAwaitingHead: 100,
    maxConnections: Infinity,
    connectTimeoutMs: 1_000_000,
    ...limits,
  } as const
  return new Upstream(settings, {
    trust: new UpstreamTrust(),
    names: new NameResolver(),
    budget,
    timers: systemTimers,
  })
}

function ask(upstream: Upstream, fresh = false): Asking {
  const asking = new Asking()
  upstream.pick(NO_EXCHANGE).pool.acquire(asking, fresh)
  return asking
}

function askTunnel(upstream: Upstream): Asking {
  const asking = new Asking()
  upstream.pick(NO_EXCHANGE).pool.acquireTunnel(asking)
  return asking
}

test('a retry that had to wait for its turn still gets a connection that no request has used', () => {
  const upstream = upstreamOf(new ConnectionBudget(), { maxAwaitingHead: 1 })
  const first = ask(upstream)
  const retry = ask(upstream, true)
  assert.ok(retry.isWaiting)
  first.abandon()
  assert.ok(retry.connection)
  assert.notEqual(retry.connection, first.connection)
})

test('a handshake waits for its head like a request, and its tunnel counts until it is closed', () => {
  const upstream = upstreamOf(new ConnectionBudget(), { maxAwaitingHead: 1, maxConnections: 2 })
  const tunnel = askTunnel(upstream)
  const request = ask(upstream)
  assert.ok(tunnel.tunnel)
  assert.ok(request.isWaiting)
  tunnel.tunnel.answered()
  assert.ok(request.connection)
  const second = askTunnel(upstream)
  assert.ok(second.isWaiting)
  // Idle now: it gives its room to the tunnel that waits.
  request.abandon()
  assert.ok(second.tunnel)
  second.tunnel.answered()
  const last = ask(upstream)
  assert.ok(last.isWaiting)
  tunnel.tunnel.destroy()
  assert.ok(last.connection)
})

test('the connections of a worker: an idle one of another upstream gives its room, else one waits', () => {
  const budget = new ConnectionBudget()
  budget.configure(2)
  const [a, b] = [upstreamOf(budget, {}), upstreamOf(budget, {})]
  const onA = ask(a)
  const onB = ask(b)
  const waitsOnB = ask(b)
  assert.ok(waitsOnB.isWaiting)
  onA.abandon()
  assert.ok(waitsOnB.connection, 'the idle connection of the other upstream has given its room')
  const waitsOnA = ask(a)
  assert.ok(waitsOnA.isWaiting)
  onB.connection?.destroy()
  assert.ok(waitsOnA.connection)
  budget.configure(3)
  assert.ok(ask(b).connection)
})
