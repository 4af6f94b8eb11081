// Which site a host name belongs to. Constant cost, whatever the number of sites.

/**
 * Looked up in this order: the exact name; then `*.` in place of the name's first label, and of no
 * more than that one, as certificates have it.
 */
export class Router<T> {
  readonly #exact = new Map<string, T>()
  /** By what follows the `*.`. */
  readonly #wildcard = new Map<string, T>()

  /** @param entries host (lower case; exact or `*.example.com`) and what it stands for */
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
    // A first label there must be: `.example.com` is no name under `*.example.com`.
    return dot > 0 ? this.#wildcard.get(host.slice(dot + 1)) : undefined
  }
}
