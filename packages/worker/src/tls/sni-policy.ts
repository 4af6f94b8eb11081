// Decides by the ClientHello what happens to a connection: it is served, shown a challenge certificate, or rejected
// with a TLS alert. Pure; the acceptor acts on the decision.
import { ACME_TLS_PROTOCOL } from './challenge-server.ts'
import type { ClientHello, ClientHelloFault } from './client-hello.ts'
import type { SiteContext } from '../connection/connection-info.ts'
import type { ChallengeContexts, SiteContexts } from './contexts.ts'

/** A listener without any certificate only answers challenges; with one it serves. */
export type ServingMode = 'challenge' | 'serve'

/** RFC 8446 6, RFC 7301 3.2: the alerts that we send. */
const ALERTS = {
  unexpected_message: 10,
  handshake_failure: 40,
  decode_error: 50,
  protocol_version: 70,
  unrecognized_name: 112,
  no_application_protocol: 120,
} as const

export type Alert = keyof typeof ALERTS

export type ClientHelloRejection =
  | 'starting'
  | 'no_server_name'
  | 'unknown_server_name'
  | 'no_challenge_armed'

export type Decision =
  | {
      readonly kind: 'serve' | 'challenge'
      readonly serverName: string
      readonly context: SiteContext
    }
  | { readonly kind: 'reject'; readonly alert: Alert; readonly reason: ClientHelloRejection }

const RECORD_TYPE_ALERT = 21
const LEVEL_FATAL = 2

/** The alert for first bytes that are not a usable ClientHello. HTTP gets no alert: it would not understand one. */
export const FAULT_ALERTS = {
  sslv2: 'protocol_version',
  not_tls: 'unexpected_message',
  too_large: 'decode_error',
  malformed: 'decode_error',
  bad_server_name: 'unrecognized_name',
} as const satisfies Record<Exclude<ClientHelloFault, 'http'>, Alert>

/** A fatal alert as a complete TLS record, unencrypted. */
export function alertRecord(alert: Alert): Uint8Array {
  return Uint8Array.of(RECORD_TYPE_ALERT, 3, 3, 0, 2, LEVEL_FATAL, ALERTS[alert])
}

/**
 * The first rule that applies decides:
 * 1. The ALPN list is exactly `acme-tls/1`: the challenge certificate for the name, or no_application_protocol
 *    (RFC 8737 3, RFC 7301 3.2). A client that offers `acme-tls/1` among others is an ordinary client and never
 *    sees a challenge certificate.
 * 2. Mode `challenge`: unrecognized_name for every name.
 * 3. No server name: handshake_failure. There is no default certificate.
 * 4. A name that no certificate covers: unrecognized_name.
 * 5. Serve.
 */
export function selectContext(
  { serverName, alpn }: ClientHello,
  mode: ServingMode,
  contexts: Pick<SiteContexts, 'lookup'>,
  challenges: Pick<ChallengeContexts, 'lookup'>,
): Decision {
  if (alpn.length === 1 && alpn[0] === ACME_TLS_PROTOCOL) {
    const context = serverName === undefined ? undefined : challenges.lookup(serverName)
    if (serverName === undefined || context === undefined) {
      return reject('no_application_protocol', 'no_challenge_armed')
    }
    return { kind: 'challenge', serverName, context }
  }
  if (mode === 'challenge') return reject('unrecognized_name', 'starting')
  if (serverName === undefined) return reject('handshake_failure', 'no_server_name')
  const context = contexts.lookup(serverName)
  if (context === undefined) return reject('unrecognized_name', 'unknown_server_name')
  return { kind: 'serve', serverName, context }
}

function reject(alert: Alert, reason: ClientHelloRejection): Decision {
  return { kind: 'reject', alert, reason }
}
