// The server's side of one HTTP/2 connection (RFC 9113): parses frames, hands each to the part that acts on it, and ends
// the connection. Has no socket events and no timer: its owner passes it bytes, calls `look` for its deadlines, and
// closes the transport.
import type { OutSocket } from '../../io/out-buffer.ts'
import { ControlFrames } from './control-frames.ts'
import { FLOOD, FloodGuard, floodError, type Flood } from './frames/flood-guard.ts'
import { FrameReader, type FrameHandler } from './frames/frame-reader.ts'
import { checkFrameHead } from './frames/frame-rules.ts'
import {
  ConnectionError,
  ERROR,
  FLAG,
  FRAME,
  INITIAL_WINDOW_BYTES,
  MAX_31_BITS,
  protocolError,
} from './frames/frames.ts'
import { mayFollow } from './frames/header-block.ts'
import { RequestFrames } from './request-frames.ts'
import type { Http2RequestHead } from './streams/request-head.ts'
import { Sender } from './streams/sender.ts'
import { SessionDeadlines, type DeadlineLimits, type SessionActivity } from './session-deadlines.ts'
import { CONNECTION_WINDOW_BYTES, settingsPayload, type SessionLimits } from './streams/settings.ts'
import { Streams, type StreamsEvents } from './streams/streams.ts'
import { Http2Stream } from './streams/stream.ts'

export interface SessionOwner {
  onRequest(stream: Http2Stream): void
  /** The connection has ended with an error: GOAWAY has been written, every stream is closed. Once. */
  onFault(error: ConnectionError): void
  /** The connection has ended without an error: GOAWAY is written, no stream is open. Once; not after `onFault`. */
  onFinished(): void
}

export class Http2Session implements FrameHandler, SessionActivity, StreamsEvents {
  isGreeted = false
  readonly #owner: SessionOwner
  readonly #limits: () => SessionLimits
  readonly #nowMs: () => number
  readonly #sender: Sender
  readonly #streams: Streams
  readonly #reader = new FrameReader(this)
  readonly #requests: RequestFrames
  readonly #controls: ControlFrames
  readonly #guard: FloodGuard
  readonly #deadlines: SessionDeadlines
  /** Bytes that arrive are dropped. */
  #isEnded = false

  /**
   * Writes our SETTINGS.
   * @param limits returns the present limits; a change applies from the next request on
   * @param nowMs monotonic
   */
  constructor(socket: OutSocket, owner: SessionOwner, limits: () => SessionLimits, nowMs: () => number) {
    this.#owner = owner
    this.#limits = limits
    this.#nowMs = nowMs
    const guard = new FloodGuard(nowMs)
    this.#guard = guard
    this.#deadlines = new SessionDeadlines(nowMs())
    this.#sender = new Sender(socket, guard)
    const streams = new Streams(this.#sender, guard, this)
    this.#streams = streams
    this.#controls = new ControlFrames(streams, this.#sender, guard)
    this.#requests = new RequestFrames({
      streams,
      guard,
      limits,
      open: (streamId, head) => this.#open(streamId, head),
    })
    this.sendSettings()
    this.#sender.windowUpdate(0, CONNECTION_WINDOW_BYTES - INITIAL_WINDOW_BYTES)
  }

  get openStreams(): number {
    return this.#streams.size
  }

  get requests(): number {
    return this.#streams.requests
  }

  get isWithinHead(): boolean {
    return this.#requests.isWithinHead
  }

  /** New requests are not served. */
  get isEnding(): boolean {
    return this.#isEnded || this.#requests.isFinishing
  }

  // From the owner

  /** Bytes have arrived. @param chunk must not change afterwards */
  receive(chunk: Buffer): void {
    if (this.#isEnded) return
    try {
      this.#reader.execute(chunk)
      if (this.#sender.isUnread) throw floodError(FLOOD.unreadControl)
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
      this.#fail(error)
      return
    }
    this.#deadlines.received(this.isWithinHead, this.#nowMs)
  }

  /** The transport has sent everything that it held. */
  onDrain(): void {
    if (!this.#isEnded) this.#sender.onDrain()
  }

  /** The transport has closed. */
  onTransportClosed(): void {
    if (!this.#isEnded) this.#end()
  }

  /** Call about once a second. @returns true: the client has taken too long, and the connection has ended */
  look(nowMs: number, limits: DeadlineLimits): boolean {
    if (this.isEnding) return false
    const overdue = this.#deadlines.look(this, nowMs, limits)
    if (overdue === 'none') return false
    // Within a header section no other frame may arrive, but open responses can still be sent.
    if (overdue === 'idle' || this.openStreams > 0) this.finish()
    else this.#fail(new ConnectionError(ERROR.noError, 'HTTP2_HEADER_TIMEOUT'))
    return this.#isEnded
  }

  /** Our limits, also when they have changed. */
  sendSettings(): void {
    if (!this.#isEnded) this.#sender.settings(settingsPayload(this.#limits()))
  }

  /** The first of two steps of a shutdown (RFC 9113 6.8). New requests are still served. */
  announceEnd(): void {
    if (!this.isEnding) this.#sender.goaway(MAX_31_BITS)
  }

  /** The second step: open requests are finished, new ones are not served. */
  finish(): void {
    if (this.isEnding) return
    this.#requests.isFinishing = true
    this.#sender.goaway(this.#streams.lastStreamId)
    this.onNoneOpen()
  }

  // StreamsEvents

  onNoneOpen(): void {
    if (!this.#requests.isFinishing || this.#isEnded || this.openStreams > 0) return
    this.#end()
    this.#owner.onFinished()
  }

  onFlood(kind: Flood): void {
    this.#fail(floodError(kind))
  }

  // FrameHandler

  onFrameHead(type: number, flags: number, streamId: number, length: number): void {
    if (this.#isEnded) throw new ConnectionError(ERROR.noError, 'ended')
    if (!mayFollow(this.#requests.block, type, streamId))
      throw protocolError('a frame within a header section, or CONTINUATION without one')
    // RFC 9113 3.4: SETTINGS come first.
    if (!this.isGreeted && (type !== FRAME.settings || (flags & FLAG.ack) !== 0))
      throw protocolError('HTTP2_BAD_PREFACE')
    checkFrameHead(type, flags, streamId, length)
    switch (type) {
      case FRAME.data:
        this.#requests.onDataHead(flags, streamId, length)
        break
      case FRAME.headers:
        this.#requests.isWithinHead = true
        break
      case FRAME.continuation:
        this.#guard.spend(FLOOD.continuation)
        break
      case FRAME.rstStream:
      case FRAME.windowUpdate:
        if (streamId !== 0 && this.#streams.isIdle(streamId)) throw protocolError('a frame on an idle stream')
        break
      default:
    }
  }

  onPayload(type: number, flags: number, streamId: number, bytes: Buffer, from: number, to: number): void {
    switch (type) {
      case FRAME.headers:
        this.#requests.onHeaders(flags, streamId, bytes, from, to)
        break
      case FRAME.continuation:
        this.#requests.onContinuation(flags, bytes, from, to)
        break
      case FRAME.rstStream:
        this.#requests.onReset(streamId)
        break
      case FRAME.settings:
        this.isGreeted = true
        this.#controls.onSettings(flags, bytes, from, to)
        break
      case FRAME.ping:
        this.#controls.onPing(flags, bytes, from)
        break
      case FRAME.windowUpdate:
        this.#controls.onWindowUpdate(streamId, bytes, from)
        break
      case FRAME.priority:
        this.#controls.onPriority(streamId, bytes, from, to)
        break
      case FRAME.priorityUpdate:
        this.#controls.onPriorityUpdate(bytes, from, to)
        break
      default:
        this.#guard.spend(FLOOD.unknown)
    }
  }

  onData(bytes: Buffer, from: number, to: number): void {
    this.#requests.onData(bytes, from, to)
  }

  onDataEnd(): void {
    this.#requests.onDataEnd()
  }

  #open(streamId: number, head: Http2RequestHead): void {
    const stream = new Http2Stream(streamId, head, this.#controls.initialWindowBytes, this.#streams)
    stream.priority = this.#controls.takeEarlyPriority(streamId) ?? stream.priority
    this.#streams.add(stream)
    this.#owner.onRequest(stream)
  }

  #fail(error: ConnectionError): void {
    if (this.#isEnded) return
    this.#sender.goaway(this.#streams.lastStreamId, error.code)
    this.#end()
    this.#owner.onFault(error)
  }

  #end(): void {
    this.#isEnded = true
    this.#sender.close()
    this.#streams.closeAll()
  }
}
