// The open tunnels. A drain notifies them when their time is up, so that they can tell their clients.

export interface Tunnel {
  /** Sends the client a close frame, if one may come now, and ends the tunnel. */
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
