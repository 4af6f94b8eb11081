// One connection to an upstream and the request that is on it: opened for its first request, idle between
// two, gone after the first thing that goes wrong. Which request it gets is the pool's decision, and what an
// answer is the parser's.
import type { Socket } from 'node:net'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { ClientConnection } from '../../connection/client-connection.ts'
import { BodyUpload, type UploadEvents } from '../http1/body-upload.ts'
import { Deadline } from './deadline.ts'
import { idleTimeoutMs } from './idle-timeout.ts'
import type { ParsedResponseHead } from '../http1/response-head.ts'
import { ResponseParser, type ResponseEvents } from '../http1/response-parser.ts'
import type { Connected, UpstreamConnector } from './connector.ts'
import { connectionFailure } from './errors.ts'
import type { ResponseReceiver, UpstreamRequest } from './request.ts'
import { afterNextReads, surviveWriteErrors } from '../../node/socket-errors.ts'

export interface ConnectionOwner {
  /** The head of the final response has come, and the rest is still under way. */
  onAnswered(connection: UpstreamConnection): void
  /** The connection can take another request. */
  onFree(connection: UpstreamConnection): void
  /** It is gone for good. Called once, and before its receiver hears why. */
  onGone(connection: UpstreamConnection): void
}

export class UpstreamConnection implements ResponseEvents, UploadEvents {
  /** Kept by the owner: it counts this connection among those that wait for a response head. */
  awaitsHead = false
  /** The only client connection whose requests it may carry from now on; undefined: anybody's. */
  boundTo: ClientConnection | undefined
  /** How far the user on it is authenticated: not, as far as is known; in between two steps; done. */
  authentication: 'none' | 'underway' | 'done' = 'none'
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
    this.#setDeadline()
  }

  onUploadFailed(error: ProxyError): void {
    this.#fail(error)
  }

  #connect(): void {
    this.#isConnecting = true
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
    this.#connector.connect(this.#connectTimeoutMs, onConnected, (chunk) => this.#onBytes(chunk))
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
      this.#upload = new BodyUpload(socket, body, contentLength, this)
      this.#upload.start(head)
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
    this.#upload.resume()
    this.#setDeadline()
  }

  #onBytes(chunk: Buffer): void {
    if (!this.#awaitsResponse()) return
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
    // Until then one deadline holds for the whole head, in whatever pieces and after however many interim responses.
    if (!this.#parser.hasHead) return
    this.#setDeadline()
    if (this.awaitsHead) this.#owner.onAnswered(this)
  }

  /** False if the connection was not to say anything now; it is ended then. */
  #awaitsResponse(): boolean {
    // RFC 9112 9.2: bytes without a request are never the response to the next one.
    if (this.#receiver === undefined) this.destroy()
    else if (this.#isUnsent) this.#fail(new ProxyError('UPSTREAM_RESET', 'closed'))
    else return true
    return false
  }

  #onEnd(): void {
    if (!this.#awaitsResponse()) return
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
      request !== undefined &&
      (!request.isLast || this.boundTo !== undefined) &&
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
    this.#idle.set(idleTimeoutMs(this.#parser.keepAliveSecs, this.boundTo !== undefined))
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
    const isClientsTurn = this.#isHeldBack || this.#upload?.isHeldUp === false
    if (isClientsTurn || this.#request === undefined) this.#silence.off()
    else this.#silence.set(this.#request.timeoutMs)
  }
}
