// The TLS options of every secure context with which a client is served.
import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import { TLS_POLICY } from '@reverse-proxy/shared/tls-policy'

export const TLS_OPTIONS = {
  ...TLS_POLICY,
  // No suite is weak, so the client chooses: it knows whether its hardware accelerates AES.
  honorCipherOrder: false,
  // A client could use renegotiation to make the server repeat the cost of a handshake.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
} as const satisfies SecureContextOptions

/**
 * Where clients show certificates: a resumed session would not be verified again, and a ticket of another listener would
 * do without one.
 */
export const NOT_RESUMED = TLS_OPTIONS.secureOptions | constants.SSL_OP_NO_TICKET

/** A session ticket is valid in every worker only if all use the same ticket keys and the same value of this. */
export const SESSION_ID_CONTEXT = 'reverse-proxy'
