// One connection to an upstream and the request that is on it: opened for its first request, idle between
// two, gone after the first thing that goes wrong. Which request it gets is the pool's decision, and what an
// answer is the parser's.
import type { Socket } from 'node:net'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { RequestBody } from '../protocol/request-body.ts'
import { BodyUpload, type UploadEvents } from './http1/body-upload.ts'
import { Deadline } from './deadline.ts'
import { idleTimeoutMs } from './idle-timeout.ts'
import type { ParsedResponseHead } from './http1/response-head.ts'
import { ResponseParser, type ResponseEvents } from './http1/response-parser.ts'
import type { Connected, UpstreamConnector } from './connector.ts'
import { connectionFailure } from './errors.ts'
import { afterNextReads, surviveWriteErrors } from '../node/socket-errors.ts'

export interface UpstreamRequest {
  readonly method: string
  /** The whole head with its empty line, a character for each byte. */
  readonly head: string
  readonly body: RequestBody | null
  /** Length of the body as the head declares it; undefined if it is sent in chunks. */
  readonly contentLength: number | undefined
  /** It may be sent again although the upstream may have read it. */
  readonly isRepeatable: boolean
  /** After it the connection is of no more use, whatever the upstream says. */
  readonly isLast: boolean
  /**
   * For the head of the response once the request has been sent, for more of its body, and for the upstream to read
   * on; each time anew, and never while the client is waited for.
   */
  readonly timeoutMs: number
}

/** Receives the response to a request. Exactly one of `onResponseEnd` and `onResponseError` is called, unless the connection is destroyed. */
export interface ResponseReceiver {
  /** Interim responses (1xx) too. What it throws ends the exchange, as if the upstream had failed. */
  onResponseHead(head: ParsedResponseHead): void
  /**
   * @param chunk to be copied: it is overwritten with the next read
   * @param isLast it ends the body
   * @returns false: no more until `resume`
   */
  onResponseData(chunk: Buffer, isLast: boolean): boolean
  /** @param trailers name, value, name, value ...; names in lower case */
  onResponseEnd(trailers: readonly string[]): void
  /**
   * @param hadBegun a byte of the response has come
   * @param isUnsent nothing of the request has been written on this connection, which had served others
   */
  onResponseError(error: unknown, hadBegun: boolean, isUnsent: boolean): void
}

export interface ConnectionOwner {
  /** The head of the final response has come, and the rest is still under way. */
  onAnswered(connection: UpstreamConnection): void
  /** The connection can take another request. */
  onFree(connection: UpstreamConnection): void
  /** It is gone for good. Called once, and before its receiver hears why. */
  onGone(connection: UpstreamConnection): void
}

/** One for all connections: what has been read is used up before the next read. A fresh one each time costs more. */
const READ_BUFFER = Buffer.allocUnsafeSlow(65_536)

export class UpstreamConnection implements ResponseEvents, UploadEvents {
  /** Kept by the owner: it counts this connection among those that wait for a response head. */
  awaitsHead = false
  readonly #owner: ConnectionOwner
  readonly #connector: UpstreamConnector
  readonly #connectTimeoutMs: number
  readonly #parser = new ResponseParser(this)
  #socket: Socket | undefined
  #request: UpstreamRequest | undefined
  #receiver: ResponseReceiver | undefined
  #requests = 0
  /** The upload of the request, until its body has been sent. */
  #upload: BodyUpload | undefined
  /** The upload waits for the upstream to read on. */
  #isHeldUp = false
  /** The response waits for its receiver. */
  #isHeldBack = false
  #isConnecting = false
  #isGone = false
  /** There is a request, and it has not been written yet. */
  #isUnsent = false
  #writeError: ProxyError | undefined
  readonly #silence = new Deadline(() => this.#fail(new ProxyError('UPSTREAM_TIMEOUT', 'timeout')))
  readonly #idle = new Deadline(() => this.destroy())

  constructor(owner: ConnectionOwner, connector: UpstreamConnector, connectTimeoutMs: number) {
    this.#owner = owner
    this.#connector = connector
    this.#connectTimeoutMs = connectTimeoutMs
  }

  /** The request that it carries, or carried last, was not its first. */
  get isReused(): boolean {
    return this.#requests > 1
  }

  /** Only on a connection that is new or free. */
  send(request: UpstreamRequest, receiver: ResponseReceiver): void {
    this.#request = request
    this.#receiver = receiver
    this.#requests += 1
    if (this.#socket !== undefined) {
      if (request.isRepeatable) this.#write(this.#socket, request)
      else this.#writeIfOpen(this.#socket, request)
    } else if (!this.#isConnecting) this.#connect()
  }

  /** After `onResponseData` said false: goes on. */
  resume(): void {
    if (!this.#isHeldBack) return
    this.#isHeldBack = false
    this.#socket?.resume()
    this.#setDeadline()
  }

  /** The receiver wants no more of it. What has not been sent yet leaves the connection as good as new. */
  abandon(): void {
    if (this.#socket !== undefined) {
      this.destroy()
      return
    }
    this.#request = undefined
    this.#receiver = undefined
    this.#requests = 0
    this.#owner.onFree(this)
  }

  /** Now, and without a word to the receiver. Idempotent. */
  destroy(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#silence.close()
    this.#idle.close()
    this.#upload?.destroy()
    this.#request = undefined
    this.#receiver = undefined
    this.#socket?.destroy()
    this.#owner.onGone(this)
  }

  // ResponseEvents

  onHead(head: ParsedResponseHead): void {
    this.#receiver?.onResponseHead(head)
  }

  onData(chunk: Buffer): void {
    const isLast = this.#parser.isComplete
    // Before the receiver lets go of the request's body: afterwards that is no longer ours to stop.
    if (isLast) this.#upload?.destroy()
    if (this.#receiver?.onResponseData(chunk, isLast) !== false || this.#isHeldBack) return
    this.#isHeldBack = true
    this.#setDeadline()
    this.#socket?.pause()
  }

  // UploadEvents

  onUploaded(): void {
    this.#upload = undefined
    this.#setDeadline()
  }

  onHeldUp(): void {
    this.#isHeldUp = true
    this.#setDeadline()
  }

  onUploadFailed(error: ProxyError): void {
    this.#fail(error)
  }

  #connect(): void {
    this.#isConnecting = true
    const onread = {
      buffer: READ_BUFFER,
      callback: (bytes: number) => {
        this.#onBytes(READ_BUFFER.subarray(0, bytes))
        return true
      },
    }
    const onConnected: Connected = (error, socket) => {
      if (this.#isGone) {
        socket?.destroy()
      } else if (socket === null) {
        this.#fail(error)
      } else {
        this.#listen(socket)
        if (this.#request === undefined) this.#rest()
        else this.#write(socket, this.#request)
      }
    }
    this.#connector.connect(this.#connectTimeoutMs, onConnected, onread)
  }

  #listen(socket: Socket): void {
    this.#socket = socket
    surviveWriteErrors(socket)
    socket
      .on('end', () => this.#onEnd())
      .on('error', (cause) => this.#onError(connectionFailure(cause), socket))
      // Without one of the two before it, somebody here has destroyed it.
      .on('close', () => this.#fail(this.#writeError ?? new ProxyError('UPSTREAM_RESET', 'closed')))
      .on('drain', () => this.#onDrain())
  }

  /** A close that has come by now is seen before anything is written, so that the request can go elsewhere. */
  #writeIfOpen(socket: Socket, request: UpstreamRequest): void {
    this.#idle.off()
    this.#isUnsent = true
    afterNextReads(() => {
      if (this.#isGone) return
      this.#isUnsent = false
      this.#write(socket, request)
    })
  }

  #write(socket: Socket, request: UpstreamRequest): void {
    this.#idle.off()
    this.#parser.begin(request.method)
    const { head, body, contentLength } = request
    if (body === null) {
      socket.write(head, 'latin1')
      this.#setDeadline()
    } else {
      // With the first of the body, if that is there already.
      socket.cork()
      setImmediate(uncork, socket)
      socket.write(head, 'latin1')
      this.#isHeldUp = false
      this.#upload = new BodyUpload(socket, body, contentLength, this)
      this.#upload.start()
    }
  }

  #onError(error: ProxyError, socket: Socket): void {
    // A read that failed has destroyed it. If it was a write of a body, that may have been refused.
    if (socket.destroyed || !this.#request?.body) {
      this.#fail(error)
      return
    }
    this.#upload?.destroy()
    this.#writeError = error
    afterNextReads(() => this.#fail(error))
  }

  #onDrain(): void {
    if (this.#upload === undefined) return
    this.#isHeldUp = false
    this.#setDeadline()
    this.#upload.resume()
  }

  #onBytes(chunk: Buffer): void {
    // RFC 9112 9.2: nobody has asked for this. It is never the answer to what is asked next.
    if (this.#receiver === undefined) {
      this.destroy()
      return
    }
    if (this.#isUnsent) {
      this.#fail(new ProxyError('UPSTREAM_RESET', 'closed'))
      return
    }
    try {
      this.#parser.execute(chunk)
    } catch (error) {
      this.#fail(error)
      return
    }
    if (this.#parser.isComplete) {
      this.#complete()
      return
    }
    this.#setDeadline()
    if (this.awaitsHead && this.#parser.hasHead) this.#owner.onAnswered(this)
  }

  #onEnd(): void {
    if (this.#receiver === undefined) {
      this.destroy()
      return
    }
    if (this.#isUnsent) {
      this.#fail(new ProxyError('UPSTREAM_RESET', 'closed'))
      return
    }
    try {
      if (this.#writeError !== undefined) throw this.#writeError
      this.#parser.finish()
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#complete()
  }

  #complete(): void {
    const receiver = this.#receiver
    const request = this.#request
    const isReusable =
      this.#parser.keepsAlive &&
      this.#upload === undefined &&
      request?.isLast === false &&
      this.#socket?.readable === true
    const { trailers } = this.#parser
    if (isReusable) this.#rest()
    else this.destroy()
    receiver?.onResponseEnd(trailers)
    if (isReusable && !this.#isGone) this.#owner.onFree(this)
  }

  /** Until the next request. */
  #rest(): void {
    this.#request = undefined
    this.#receiver = undefined
    this.#silence.off()
    // The receiver has all of it, whether it could write it on or not.
    if (this.#isHeldBack) this.#socket?.resume()
    this.#isHeldBack = false
    this.#idle.set(idleTimeoutMs(this.#parser.keepAliveSecs))
  }

  #fail(error: unknown): void {
    const receiver = this.#receiver
    const isUnsent = this.#isUnsent
    const hasBegun = this.#parser.hasBegun && !isUnsent
    this.destroy()
    receiver?.onResponseError(error, hasBegun, isUnsent)
  }

  /** From now on the upstream has `timeoutMs` to do something; none while it is the client's turn to send or to read. */
  #setDeadline(): void {
    const isClientsTurn = this.#isHeldBack || (this.#upload !== undefined && !this.#isHeldUp)
    if (isClientsTurn || this.#request === undefined) this.#silence.off()
    else this.#silence.set(this.#request.timeoutMs)
  }
}

function uncork(socket: Socket): void {
  socket.uncork()
}
