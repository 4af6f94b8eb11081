// The tunnels that are open. They are told when their time is up, so that the client can be told.

export interface Tunnel {
  /** Says so to the client if that is possible now, and ends. */
  goAway(): void
}

export class Tunnels {
  readonly #open = new Set<Tunnel>()

  get size(): number {
    return this.#open.size
  }

  opened(tunnel: Tunnel): void {
    this.#open.add(tunnel)
  }

  closed(tunnel: Tunnel): void {
    this.#open.delete(tunnel)
  }

  goAway(): void {
    for (const tunnel of this.#open) tunnel.goAway()
  }
}
