// One connection to an upstream and the request that it carries. It is opened for its first request, idle between two
// requests, and closed after the first error. The pool decides which request it gets; the parser reads the response.
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
  /** The head of the final response has arrived, and the body has not ended. */
  onAnswered(connection: UpstreamConnection): void
  /** The connection can take another request. */
  onFree(connection: UpstreamConnection): void
  /** The connection has closed. Called once, before its receiver gets the error. */
  onGone(connection: UpstreamConnection): void
}

export class UpstreamConnection implements ResponseEvents, UploadEvents {
  /** Set by the owner, which counts this connection among those that wait for a response head. */
  awaitsHead = false
  /** The only client connection whose requests it may carry from now on; undefined: any. */
  boundTo: ClientConnection | undefined
  /** Whether its user is authenticated: not as far as we know, between two steps of a handshake, or done. */
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
  /** It has a request that has not been written yet. */
  #isUnsent = false
  #writeError: ProxyError | undefined
  readonly #silence = new Deadline(() => this.#fail(new ProxyError('UPSTREAM_TIMEOUT', 'timeout')))
  readonly #idle = new Deadline(() => this.destroy())

  constructor(owner: ConnectionOwner, connector: UpstreamConnector, connectTimeoutMs: number) {
    this.#owner = owner
    this.#connector = connector
    this.#connectTimeoutMs = connectTimeoutMs
  }

  /** Its present or last request was not its first. */
  get isReused(): boolean {
    return this.#requests > 1
  }

  /** Call only on a new or idle connection. */
  send(request: UpstreamRequest, receiver: ResponseReceiver): void {
    this.#request = request
    this.#receiver = receiver
    this.#requests += 1
    if (this.#socket !== undefined) {
      if (request.isRepeatable) this.#write(this.#socket, request)
      else this.#writeIfOpen(this.#socket, request)
    } else if (!this.#isConnecting) this.#connect()
  }

  /** Continues after `onResponseData` returned false. */
  resume(): void {
    if (!this.#isHeldBack) return
    this.#isHeldBack = false
    this.#socket?.resume()
    this.#setDeadline()
  }

  /** The sender has given up. Closes the connection; one that is still being opened stays for another request. */
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

  /** Closes at once and does not call the receiver. Idempotent. */
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
    // Before the receiver detaches the request body, which we could not stop afterwards.
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
      // Without an error or an end before it, we have destroyed the socket ourselves.
      .on('close', () => this.#fail(this.#writeError ?? new ProxyError('UPSTREAM_RESET', 'closed')))
      .on('drain', () => this.#onDrain())
  }

  /** Sees a close that has arrived before anything is written, so that the request can go to another connection. */
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
    // A failed read has destroyed the socket. After a failed write of a body, the response may still be read.
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
    // Until then one deadline applies to the whole head, however many pieces and interim responses arrive.
    if (!this.#parser.hasHead) return
    this.#setDeadline()
    if (this.awaitsHead) this.#owner.onAnswered(this)
  }

  /** False if no response is due: without a request closes the connection, with one that is not written fails it. */
  #awaitsResponse(): boolean {
    // RFC 9112 9.2: bytes without a request are never used as the response to the next one.
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
    // The receiver has got all of it, even if it has not passed everything on.
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

  /** Starts the deadline for the upstream to do something; none while we wait for the client to send or to read. */
  #setDeadline(): void {
    const isClientsTurn = this.#isHeldBack || this.#upload?.isHeldUp === false
    if (isClientsTurn || this.#request === undefined) this.#silence.off()
    else this.#silence.set(this.#request.timeoutMs)
  }
}
