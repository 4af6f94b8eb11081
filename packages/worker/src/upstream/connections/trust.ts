// Whose certificates of upstreams are believed: the system's roots, and for a site perhaps one more. One
// context for each such set, however many sites share it: making one takes 30 ms and a megabyte. No
// session is ever kept in a context, so names that share one share nothing else.
import { createSecureContext, type SecureContext } from 'node:tls'

export interface TrustSettings {
  /** PEM. */
  readonly systemRoots: readonly string[]
  /** Every one more that a site names. */
  readonly caPems: ReadonlySet<string>
}

export class UpstreamTrust {
  #systemRoots: readonly string[] = []
  /** By the one more; undefined where there is none. */
  readonly #contexts = new Map<string | undefined, SecureContext>()

  /** Holds for every connection from now on. */
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
      // `ca` replaces the roots that the runtime brings.
      const ca = caPem === undefined ? [...this.#systemRoots] : [...this.#systemRoots, caPem]
      context = createSecureContext({ minVersion: 'TLSv1.2', ca })
      this.#contexts.set(caPem, context)
    }
    return context
  }
}
