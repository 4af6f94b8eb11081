// A request body on its way to the upstream: counted while it streams, and given up when it stalls.
// Never holds more than one stream buffer, and never takes the client's connection down with it: what
// becomes of that is the exchange's decision.
import { Readable } from 'node:stream'
import { ProxyError } from '@reverse-proxy/shared/errors'

export interface BodyLimits {
  readonly limitBytes: number
  /** The longest time between two reads from the client, while the upstream wants more. */
  readonly stallTimeoutMs: number
}

/** @throws ProxyError BODY_TOO_LARGE for a declared length beyond the limit */
export function checkDeclaredLength(bytes: number, limitBytes: number): void {
  if (bytes > limitBytes) throw new ProxyError('BODY_TOO_LARGE', 'declared length beyond the limit')
}

/** Ends with an error of code BODY_TOO_LARGE, BODY_STALLED or CLIENT_GONE, unless the source ends first. */
export class RequestBody extends Readable {
  readonly #source: Readable
  readonly #limits: BodyLimits
  #bytes = 0
  #stall: NodeJS.Timeout | undefined

  constructor(source: Readable, limits: BodyLimits) {
    super()
    this.#source = source
    this.#limits = limits
    // It may fail while it still waits for a connection, when nobody else listens yet.
    this.on('error', ignore)
    source
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('close', this.#onClose)
      .on('error', this.#onClose)
    source.pause()
  }

  override _read(): void {
    // The upstream wants more: only now can the client be slow.
    if (this.#stall === undefined) {
      this.#stall = setTimeout(() => {
        this.destroy(new ProxyError('BODY_STALLED', 'the request body stalled'))
      }, this.#limits.stallTimeoutMs)
    } else {
      this.#stall.refresh()
    }
    this.#source.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#stall)
    const source = this.#source
    source
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .off('error', this.#onClose)
    source.pause()
    callback(error)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limits.limitBytes) {
      this.destroy(new ProxyError('BODY_TOO_LARGE', 'body beyond the limit'))
    } else if (this.push(chunk)) {
      this.#stall?.refresh()
    } else {
      clearTimeout(this.#stall)
      this.#stall = undefined
      this.#source.pause()
    }
  }

  readonly #onEnd = (): void => {
    clearTimeout(this.#stall)
    this.push(null)
  }

  readonly #onClose = (): void => {
    if (!this.readableEnded && !this.#source.readableEnded) {
      this.destroy(new ProxyError('CLIENT_GONE', 'the client went while it was sending'))
    }
  }
}

function ignore(): void {}
