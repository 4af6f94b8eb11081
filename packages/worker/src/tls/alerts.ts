// TLS alerts for clients that are turned away before the TLS library has seen them.

/** RFC 8446 6, RFC 7301 3.2: the ones we send. */
const ALERTS = {
  unexpected_message: 10,
  handshake_failure: 40,
  decode_error: 50,
  protocol_version: 70,
  unrecognized_name: 112,
  no_application_protocol: 120,
} as const

export type Alert = keyof typeof ALERTS

const RECORD_TYPE_ALERT = 21
const LEVEL_FATAL = 2

/** A fatal alert as a whole, unencrypted TLS record. */
export function alertRecord(alert: Alert): Uint8Array {
  return Uint8Array.of(RECORD_TYPE_ALERT, 3, 3, 0, 2, LEVEL_FATAL, ALERTS[alert])
}
