// TLS session ticket keys, shared by all workers so that a client can resume with any of them: generated here, rotated
// every 12 h, sent over IPC, never written to disk. Old keys are not kept, so that recorded traffic cannot be decrypted
// with keys in memory later; an old ticket costs one full handshake.
import { randomBytes } from 'node:crypto'
import type { Clock } from '@reverse-proxy/shared/clock'
import { sleepUntil, withTimers } from '../os/waitable-clock.ts'

/** Key name, HMAC key, AES key: what tls.Server.setTicketKeys takes. */
const TICKET_KEYS_BYTES = 48
const ROTATION_MS = 12 * 60 * 60 * 1000

export interface TicketKeysOptions {
  readonly clock: Clock
  /** Sends new keys to every running worker. */
  readonly publish: (keys: Uint8Array) => void
}

export class TicketKeys {
  readonly #options: TicketKeysOptions
  readonly #closing = new AbortController()
  #current: Uint8Array = randomBytes(TICKET_KEYS_BYTES)
  #rotating: Promise<void> = Promise.resolve()

  constructor(options: TicketKeysOptions) {
    this.#options = options
  }

  /** The keys that a newly booted worker starts with. */
  get current(): Uint8Array {
    return this.#current
  }

  /** Starts the rotation; call once. */
  start(): void {
    this.#rotating = this.#rotate()
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#rotating
  }

  async #rotate(): Promise<void> {
    const { publish } = this.#options
    const clock = withTimers(this.#options.clock)
    const { signal } = this.#closing
    for (;;) {
      await sleepUntil(clock.nowMs() + ROTATION_MS, clock, signal).catch(() => {})
      if (signal.aborted) return
      this.#current = randomBytes(TICKET_KEYS_BYTES)
      publish(this.#current)
    }
  }
}
