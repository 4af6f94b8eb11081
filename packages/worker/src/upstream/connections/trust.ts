// The roots that certificates of upstreams are verified against: the system's, and for some sites one more. All sites
// with the same roots share one context, because making one takes 30 ms and a megabyte. A context keeps no TLS session, so
// sites that share one share nothing else.
import { createSecureContext, type SecureContext } from 'node:tls'

export interface TrustSettings {
  /** PEM. */
  readonly systemRoots: readonly string[]
  /** Each additional root that a site names. */
  readonly caPems: ReadonlySet<string>
}

export class UpstreamTrust {
  #systemRoots: readonly string[] = []
  /** By the additional root; undefined for none. */
  readonly #contexts = new Map<string | undefined, SecureContext>()

  /** Applies to every connection from now on. */
  configure({ systemRoots, caPems }: TrustSettings): void {
    const isSame =
      systemRoots.length === this.#systemRoots.length &&
      systemRoots.every((root, i) => root === this.#systemRoots[i])
    this.#systemRoots = systemRoots
    for (const caPem of this.#contexts.keys()) {
      if (!isSame || (caPem !== undefined && !caPems.has(caPem))) this.#contexts.delete(caPem)
    }
  }

  contextFor(caPem: string | undefined): SecureContext {
    let context = this.#contexts.get(caPem)
    if (context === undefined) {
      // `ca` replaces the roots of the runtime.
      const ca = caPem === undefined ? [...this.#systemRoots] : [...this.#systemRoots, caPem]
      context = createSecureContext({ minVersion: 'TLSv1.2', ca })
      this.#contexts.set(caPem, context)
    }
    return context
  }
}
