// SPEC 6 in the words of Node's TLS: what every secure context and every TLS server is made with.
// A server needs it as well as its contexts: versions and options are fixed before the server name
// has chosen a context.
import { constants } from 'node:crypto'
import type { SecureContextOptions } from 'node:tls'

const TLS12_SUITES = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
]
const TLS13_SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']
const GROUPS = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384']

export const TLS_POLICY = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: [...TLS13_SUITES, ...TLS12_SUITES].join(':'),
  ecdhCurve: GROUPS.join(':'),
  // None of the suites is weak, so the client chooses: it knows whether its hardware does AES.
  honorCipherOrder: false,
  // Renegotiation is only good for having the server do a handshake's work again and again.
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
} as const satisfies SecureContextOptions

/** Workers share ticket keys; a ticket is good at each of them only if this is the same, too. */
export const SESSION_ID_CONTEXT = 'reverse-proxy'
