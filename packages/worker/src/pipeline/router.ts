// Finds the site of a host name. The cost does not depend on the number of sites.

/** Looks up the exact name, then the name with `*` in place of its first label, as certificates do (RFC 9525 6.3). */
export class Router<T> {
  readonly #exact = new Map<string, T>()
  /** By the part after `*.`. */
  readonly #wildcard = new Map<string, T>()

  /** @param entries host (lower case; exact or `*.example.com`) and its value */
  constructor(entries: Iterable<readonly [host: string, value: T]>) {
    for (const [host, value] of entries) {
      if (host.startsWith('*.')) this.#wildcard.set(host.slice(2), value)
      else this.#exact.set(host, value)
    }
  }

  /** @param host lower case, without port */
  lookup(host: string): T | undefined {
    const exact = this.#exact.get(host)
    if (exact !== undefined || this.#wildcard.size === 0) return exact
    const dot = host.indexOf('.')
    // The first label must not be empty: `*.example.com` does not match `.example.com`.
    return dot > 0 ? this.#wildcard.get(host.slice(dot + 1)) : undefined
  }
}
