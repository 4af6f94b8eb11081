// The certificates of one listener, by server name: those that it serves and those that answer challenges. Kept in
// memory only. sni-policy.ts decides which client sees which.
import { X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { ArmedChallenge, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { SiteContext } from '../connection/connection-info.ts'
import { setTicketKeys } from '../node/tls-server.ts'
import { NOT_RESUMED, SESSION_ID_CONTEXT, TLS_OPTIONS } from './policy.ts'

interface LoadedCertificate {
  readonly names: readonly string[]
  readonly expiresMs: number
  readonly context: SiteContext
}

/**
 * Looks a server name up in this order:
 * 1. a certificate with exactly this name;
 * 2. a certificate with `*.` in place of the first label of the name.
 *
 * If several certificates have the same name, the one that expires last is used, so that a renewed file takes effect
 * beside the old one; if they expire together, the first of the list.
 */
export class SiteContexts {
  #loaded: ReadonlyMap<string, LoadedCertificate> = new Map()
  #byName: ReadonlyMap<string, LoadedCertificate> = new Map()
  #ticketKeys: Uint8Array
  #clientCaPem: string | undefined
  #certificates: readonly PushedCertificate[] = []

  /**
   * @param ticketKeys 48 bytes, the same in all workers; a ticket is good for every certificate
   * @param clientCaPem roots of the certificates of clients; undefined: they show none
   */
  constructor(ticketKeys: Uint8Array, clientCaPem?: string) {
    this.#ticketKeys = ticketKeys
    this.#clientCaPem = clientCaPem
  }

  /** From the next handshake on. */
  setClientCa(clientCaPem: string | undefined): void {
    if (clientCaPem === this.#clientCaPem) return
    this.#clientCaPem = clientCaPem
    this.#loaded = new Map()
    this.replace(this.#certificates)
  }

  /** Tickets that were issued before lead to full handshakes. */
  setTicketKeys(ticketKeys: Uint8Array): void {
    this.#ticketKeys = ticketKeys
    for (const { context } of this.#loaded.values()) setTicketKeys(context.secureContext, ticketKeys)
  }

  /**
   * Serves exactly `certificates` from the next handshake on. A certificate that was served before keeps its context.
   * @throws ProxyError CERTIFICATE if one cannot be loaded; then nothing has changed
   */
  replace(certificates: readonly PushedCertificate[]): void {
    const loaded = new Map<string, LoadedCertificate>()
    for (const certificate of certificates) {
      const { certPem, names } = certificate
      loaded.set(certPem, { ...(this.#loaded.get(certPem) ?? this.#load(certificate)), names })
    }
    this.#byName = indexByName(loaded.values())
    this.#loaded = loaded
    this.#certificates = certificates
  }

  #load(certificate: PushedCertificate): LoadedCertificate {
    const ca = this.#clientCaPem
    const loaded = load(certificate, {
      sessionIdContext: SESSION_ID_CONTEXT,
      ...(ca !== undefined && { ca, secureOptions: NOT_RESUMED }),
    })
    setTicketKeys(loaded.context.secureContext, this.#ticketKeys)
    return loaded
  }

  /** Serial numbers of the leaves that are served. */
  get serials(): readonly string[] {
    return [...this.#loaded.values()].map(({ context }) => context.serial)
  }

  /** @param serverName lower case, without `*` */
  lookup(serverName: string): SiteContext | undefined {
    const certificate = this.#byName.get(serverName) ?? this.#byName.get(wildcardOf(serverName))
    return certificate?.context
  }
}

/** The certificates of the pending tls-alpn-01 challenges, by the server name that the CA sends. */
export class ChallengeContexts {
  #byName: ReadonlyMap<string, SiteContext> = new Map()

  /** @throws ProxyError CERTIFICATE if one cannot be loaded; then nothing has changed */
  replace(challenges: readonly ArmedChallenge[]): void {
    const byName = new Map<string, SiteContext>()
    for (const challenge of challenges) {
      if (challenge.type !== 'tls-alpn-01') continue
      const { serverName, certPem, keyPem } = challenge
      byName.set(serverName, load({ names: [serverName], certPem, keyPem }).context)
    }
    this.#byName = byName
  }

  /** @param serverName lower case; for an IP address its reverse-lookup name (RFC 8738 6) */
  lookup(serverName: string): SiteContext | undefined {
    return this.#byName.get(serverName)
  }
}

function load(
  { names, certPem, keyPem }: Omit<PushedCertificate, 'serial'>,
  options: SecureContextOptions = {},
): LoadedCertificate {
  try {
    const secureContext = createSecureContext({ ...TLS_OPTIONS, ...options, cert: certPem, key: keyPem })
    const { serialNumber: serial, validToDate } = new X509Certificate(certPem)
    const nameSet = new Set(names)
    const covers = (host: string) => nameSet.has(host) || nameSet.has(wildcardOf(host))
    return { names, expiresMs: validToDate.getTime(), context: { serial, secureContext, covers } }
  } catch (cause) {
    throw new ProxyError('CERTIFICATE', `the certificate for ${names.join(', ')} cannot be loaded`, { cause })
  }
}

function indexByName(certificates: Iterable<LoadedCertificate>): Map<string, LoadedCertificate> {
  const byName = new Map<string, LoadedCertificate>()
  for (const certificate of certificates) {
    for (const name of certificate.names) {
      const present = byName.get(name)
      if (present === undefined || certificate.expiresMs > present.expiresMs) byName.set(name, certificate)
    }
  }
  return byName
}

/** `*.example.com` for `www.example.com`; '' for a name of one label, which no certificate has. */
function wildcardOf(host: string): string {
  const dot = host.indexOf('.')
  return dot < 0 ? '' : `*${host.slice(dot)}`
}
