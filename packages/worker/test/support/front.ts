// A worker's TLS side in one process: net.Server -> TlsAcceptor -> handshake -> an HTTP server that never listens.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { ArmedChallenge, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { Log, LogFields } from '@reverse-proxy/shared/log-fields'
import { ConnectionLimits, type ConnectionCaps } from '../../src/connection/connection-limits.ts'
import { ChallengeContexts, SiteContexts } from '../../src/tls/contexts.ts'
import type { ServingMode } from '../../src/tls/sni-policy.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { ConnectionLimitLog } from '../../src/connection/connection-limit-log.ts'
import { systemTimers } from '../../src/node/timers.ts'
import { Arrivals } from '../../src/listen/arrivals.ts'
import { TlsAcceptor } from '../../src/tls/acceptor.ts'
import type { ConnectionInfo } from '../../src/connection/connection-info.ts'
import { protocolList, startHandshake } from '../../src/node/tls-server.ts'
import { listen } from '../../../../test/harness/ports.ts'

export interface FrontOptions {
  readonly certificates?: readonly PushedCertificate[]
  readonly challenges?: readonly ArmedChallenge[]
  readonly caps?: ConnectionCaps
  readonly mode?: ServingMode
  readonly handshakeTimeoutMs?: number
  /** 48 bytes. */
  readonly ticketKeys?: Uint8Array
}

export interface RunningFront {
  readonly port: number
  readonly front: TlsAcceptor
  readonly contexts: SiteContexts
  readonly connections: ConnectionLimits
  readonly logged: Logged[]
  /** Every connection that was handed over and finished its handshake. */
  readonly served: Served[]
  /** Of the listening server: all that are open, in whatever phase. */
  readonly openSockets: () => Promise<number>
}

interface Served {
  readonly socket: TLSSocket
  readonly info: ConnectionInfo
  readonly resumed: boolean
}

export interface Logged extends LogFields {
  readonly level: string
  readonly event: string
}

/** Answers every request with `<server name> <certificate serial> <client address>`. */
export async function startFront(t: TestContext, options: FrontOptions): Promise<RunningFront> {
  const contexts = new SiteContexts(options.ticketKeys ?? randomBytes(48))
  contexts.replace(options.certificates ?? [])
  const challenges = new ChallengeContexts()
  challenges.replace(options.challenges ?? [])
  const connections = new ConnectionLimits(
    options.caps ?? { connectionsPerWorker: 1000, connectionsPerClient: 1000 },
  )
  const logged: Logged[] = []
  const metrics = new TrafficMetrics()
  const served: Served[] = []
  const serve = siteServer(served)
  const front = new TlsAcceptor({
    contexts,
    challenges,
    log: recordingLog(logged),
    metrics,
    mode: options.mode ?? 'serve',
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    serve,
  })
  const arrivals = new Arrivals(
    { proxies: undefined, proxyProtocol: false, headerTimeoutMs: 10_000 },
    {
      connections,
      connectionLimitLog: new ConnectionLimitLog(recordingLog(logged), metrics, systemTimers),
      bans: { isBanned: () => false },
      log: recordingLog(logged),
      metrics,
    },
  )
  const sockets = new Set<net.Socket>()
  const listener = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    arrivals.accept(socket, (arrival) => front.accept(socket, arrival))
  })
  const port = await listen(t, listener)
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  const openSockets = async () =>
    await new Promise<number>((resolve, reject) => {
      listener.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
    })
  return { port, front, contexts, connections, logged, served, openSockets }
}

function siteServer(served: Served[]): (socket: net.Socket, info: ConnectionInfo) => void {
  const infoBySocket = new WeakMap<net.Socket, ConnectionInfo>()
  const answer = (socket: net.Socket): string => {
    const info = infoBySocket.get(socket)
    assert.ok(info !== undefined)
    return `${info.serverName} ${info.context.serial} ${info.clientIp}`
  }
  const http1Server = http.createServer((request, response) => response.end(answer(request.socket)))
  const serveHttp2 = (socket: TLSSocket): void => {
    const session = http2.performServerHandshake(socket)
    session.on('error', () => {})
    session.on('stream', (stream) => {
      stream.respond()
      stream.end(answer(socket))
    })
  }
  const protocols = protocolList(['h2', 'http/1.1'])
  return (socket, info) =>
    startHandshake(
      socket,
      { context: info.context.secureContext, protocols },
      {
        onSecure: (secured) => {
          infoBySocket.set(secured, info)
          served.push({ socket: secured, info, resumed: secured.isSessionReused() })
          if (secured.alpnProtocol === 'h2') serveHttp2(secured)
          else http1Server.emit('connection', secured)
        },
        onFailed: () => {},
      },
    )
}

export function recordingLog(logged: Logged[]): Log {
  const at =
    (level: string) =>
    (event: string, fields: LogFields = {}) =>
      void logged.push({ level, event, ...fields })
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
