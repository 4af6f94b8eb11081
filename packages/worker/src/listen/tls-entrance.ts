// The TLS part of a listener: certificates and challenges, the acceptor that reads each ClientHello, the handshakes
// behind it, and the redirect on the plain-HTTP port.
import type { Socket } from 'node:net'
import type { ClientAuthSettings, Limits, Site } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Bans } from '../access/bans.ts'
import type { TrustedProxies } from '../access/trusted-proxies.ts'
import { afterAwake } from '../node/timers.ts'
import type { AccessLog } from '../observability/access-log-entry.ts'
import type { EventCounter } from '../observability/metrics.ts'
import type { RateLimitDecisions } from '../pipeline/stages/rate-limit.ts'
import { TlsAcceptor } from '../tls/acceptor.ts'
import { ChallengeContexts, SiteContexts } from '../tls/contexts.ts'
import type { Arrival } from './arrivals.ts'
import { HttpsServer } from './https-server.ts'
import { RedirectServer } from './redirect-server.ts'
import type { SiteServer } from './site-server.ts'

/**
 * A client whose ClientHello is on its way when a drain begins is still served, if it arrives within this time. A lost
 * packet is sent again after 1 s (RFC 6298 2.1), and once more 2 s later.
 */
const HELLO_GRACE_MS = 3_500

export interface TlsEntranceSettings {
  readonly sites: readonly Site[]
  readonly limits: Limits
  readonly httpsPort: number
  readonly clientAuth?: ClientAuthSettings | undefined
  /** Undefined: no proxy in front is trusted. */
  readonly proxies: TrustedProxies | undefined
}

export interface TlsEntranceDeps {
  readonly log: Log
  readonly metrics: EventCounter
  readonly accessLog: AccessLog
  readonly rateLimiter: RateLimitDecisions
  readonly bans: Bans
  /** 48 bytes, the same in all workers. */
  readonly ticketKeys: Uint8Array
  readonly sites: SiteServer
}

export class TlsEntrance {
  readonly #contexts: SiteContexts
  readonly #challengeContexts = new ChallengeContexts()
  #keyAuthorizations: ReadonlyMap<string, string> = new Map()
  readonly #acceptor: TlsAcceptor
  readonly #https: HttpsServer
  readonly #redirect: RedirectServer

  /** Answers challenges only until it has certificates. */
  constructor(settings: TlsEntranceSettings, deps: TlsEntranceDeps) {
    const { limits, clientAuth } = settings
    const { log, metrics, accessLog, rateLimiter, bans } = deps
    this.#contexts = new SiteContexts(deps.ticketKeys, clientAuth?.caPem)
    this.#https = new HttpsServer(limits, clientAuth?.mode, deps)
    this.#acceptor = new TlsAcceptor({
      contexts: this.#contexts,
      challenges: this.#challengeContexts,
      log,
      metrics,
      mode: 'challenge',
      handshakeTimeoutMs: limits.tlsHandshakeTimeoutMs,
      serve: (socket, peeked) => this.#https.adopt(socket, peeked),
    })
    this.#redirect = new RedirectServer(settings, 'challenge', {
      accessLog,
      log,
      metrics,
      rateLimiter,
      bans,
      keyAuthorizationOf: (token) => this.#keyAuthorizations.get(token),
    })
  }

  /** Serial numbers of the certificates in service. */
  get serials(): readonly string[] {
    return this.#contexts.serials
  }

  /** Connections that may still reach the site server. */
  get size(): number {
    return this.#acceptor.size
  }

  /** @param socket an admitted connection of the HTTPS port */
  acceptTls(socket: Socket, arrival: Arrival): void {
    this.#acceptor.accept(socket, arrival)
  }

  /** @param socket an admitted connection of the plain-HTTP port */
  acceptHttp(socket: Socket, { clientIp }: Arrival): void {
    this.#redirect.adopt(socket, clientIp)
  }

  configure(settings: TlsEntranceSettings): void {
    const { limits, clientAuth } = settings
    this.#redirect.configure(settings)
    this.#contexts.setClientCa(clientAuth?.caPem)
    this.#https.configure(limits, clientAuth?.mode)
    this.#acceptor.setHandshakeTimeout(limits.tlsHandshakeTimeoutMs)
  }

  /**
   * Without any, the listener answers challenges only.
   * @throws ProxyError CERTIFICATE; nothing has changed then
   */
  setCertificates(certificates: readonly PushedCertificate[]): void {
    this.#contexts.replace(certificates)
    const mode = certificates.length === 0 ? 'challenge' : 'serve'
    this.#acceptor.setServingMode(mode)
    this.#redirect.setServingMode(mode)
  }

  /** @throws ProxyError CERTIFICATE; nothing has changed then */
  setChallenges(challenges: readonly ArmedChallenge[]): void {
    this.#challengeContexts.replace(challenges)
    const http01 = challenges.filter((challenge) => challenge.type === 'http-01')
    this.#keyAuthorizations = new Map(http01.map(({ token, keyAuthorization }) => [token, keyAuthorization]))
  }

  setTicketKeys(ticketKeys: Uint8Array): void {
    this.#contexts.setTicketKeys(ticketKeys)
  }

  /** Resolves when the redirects are over; handshakes become connections of the site server, or are cut by `close`. */
  async drain(timeoutMs: number, mayStillAdopt: () => boolean): Promise<void> {
    afterAwake(Math.min(HELLO_GRACE_MS, timeoutMs), () => this.close())
    await this.#redirect.drain(timeoutMs, mayStillAdopt)
  }

  /** Cuts every connection whose ClientHello is not complete. Idempotent. */
  close(): void {
    this.#acceptor.close()
  }
}
