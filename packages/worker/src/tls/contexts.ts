// The certificates that one listener serves, by server name. Holds them in memory only;
// which client may see which is decided in front.ts.
import type { SecureContext } from 'node:tls'

/** One certificate, ready to serve. A connection keeps the one it began with. */
export interface SiteContext {
  /** Serial number of the leaf, upper-case hex. */
  readonly serial: string
  readonly secureContext: SecureContext
  /** Whether a request for `host` (lower case, no port) may be answered on this certificate: else 421. */
  covers(host: string): boolean
}
