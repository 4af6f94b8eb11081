// How every secure context and every TLS server is made. A server needs it as well as its contexts:
// versions and options are fixed before the server name has chosen a context.
import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'
import { TLS_POLICY } from '@reverse-proxy/shared/tls-policy'

export const TLS_OPTIONS = {
  ...TLS_POLICY,
  // None of the suites is weak, so the client chooses: it knows whether its hardware does AES.
  honorCipherOrder: false,
  // Renegotiation is only good for having the server do a handshake's work again and again.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
} as const satisfies SecureContextOptions

/** Workers share ticket keys; a ticket is good at each of them only if this is the same, too. */
export const SESSION_ID_CONTEXT = 'reverse-proxy'
