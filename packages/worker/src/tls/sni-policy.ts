// Decides by the ClientHello what happens to a connection. Pure; the acceptor acts on it.
import type { Alert } from './alerts.ts'
import { ACME_TLS_PROTOCOL } from './challenge-server.ts'
import type { ClientHello, ClientHelloFault } from './client-hello.ts'
import type { SiteContext } from '../connection/connection-info.ts'
import type { ChallengeContexts, SiteContexts } from './contexts.ts'

/** A listener without any certificate answers challenges only; with one it serves. */
export type Stage = 'challenge' | 'serve'

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
  | { readonly kind: 'refuse'; readonly alert: Alert; readonly reason: ClientHelloRejection }

/** The alert for first bytes that are not a usable ClientHello. HTTP gets no alert: it would not understand one. */
export const FAULT_ALERTS = {
  sslv2: 'protocol_version',
  not_tls: 'unexpected_message',
  too_large: 'decode_error',
  malformed: 'decode_error',
  bad_server_name: 'unrecognized_name',
} as const satisfies Record<Exclude<ClientHelloFault, 'http'>, Alert>

/**
 * In this order:
 * 1. The ALPN list is exactly `acme-tls/1`: the challenge certificate for the name, or no_application_protocol
 *    (RFC 8737 3, RFC 7301 3.2). Any other list, also one that has `acme-tls/1` among others, is an ordinary
 *    client's, which must never be shown a challenge certificate.
 * 2. Stage `challenge`: unrecognized_name, whatever the name.
 * 3. No server name: handshake_failure. There is no default certificate.
 * 4. A name that no certificate covers: unrecognized_name.
 * 5. Serve.
 */
export function selectContext(
  { serverName, alpn }: ClientHello,
  stage: Stage,
  contexts: Pick<SiteContexts, 'lookup'>,
  challenges: Pick<ChallengeContexts, 'lookup'>,
): Decision {
  if (alpn.length === 1 && alpn[0] === ACME_TLS_PROTOCOL) {
    const context = serverName === undefined ? undefined : challenges.lookup(serverName)
    if (serverName === undefined || context === undefined) {
      return refuse('no_application_protocol', 'no_challenge_armed')
    }
    return { kind: 'challenge', serverName, context }
  }
  if (stage === 'challenge') return refuse('unrecognized_name', 'starting')
  if (serverName === undefined) return refuse('handshake_failure', 'no_server_name')
  const context = contexts.lookup(serverName)
  if (context === undefined) return refuse('unrecognized_name', 'unknown_server_name')
  return { kind: 'serve', serverName, context }
}

function refuse(alert: Alert, reason: ClientHelloRejection): Decision {
  return { kind: 'refuse', alert, reason }
}
