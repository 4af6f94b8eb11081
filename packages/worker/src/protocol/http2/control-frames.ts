// Handles SETTINGS, PING, WINDOW_UPDATE, PRIORITY and PRIORITY_UPDATE of one connection. Each is counted as a possible
// flood, because none of them is a request.
import { FLOOD, floodError, type FloodGuard } from './frames/flood-guard.ts'
import {
  ConnectionError,
  ERROR,
  FLAG,
  frameSizeError,
  MAX_31_BITS,
  PRIORITY_BYTES,
  protocolError,
  SETTING_BYTES,
} from './frames/frames.ts'
import { parsePriority, type Priority } from './streams/priority.ts'
import type { Sender } from './streams/sender.ts'
import { MAX_SETTINGS, PeerSettings } from './streams/settings.ts'
import type { Streams } from './streams/streams.ts'

/** Limit on priorities of streams that are not open yet. */
const MAX_EARLY_PRIORITIES = 100

export class ControlFrames {
  readonly #streams: Streams
  readonly #sender: Sender
  readonly #guard: FloodGuard
  readonly #peer = new PeerSettings()
  #earlyPriorities: Map<number, Priority> | undefined

  constructor(streams: Streams, sender: Sender, guard: FloodGuard) {
    this.#streams = streams
    this.#sender = sender
    this.#guard = guard
  }

  /** Initial window of a new stream: bytes that the client accepts. */
  get initialWindowBytes(): number {
    return this.#peer.initialWindowBytes
  }

  /** The priority of a PRIORITY_UPDATE that arrived before its stream; undefined if there was none. Forgets it. */
  takeEarlyPriority(streamId: number): Priority | undefined {
    const priority = this.#earlyPriorities?.get(streamId)
    if (priority !== undefined) this.#earlyPriorities?.delete(streamId)
    return priority
  }

  onSettings(flags: number, bytes: Buffer, from: number, to: number): void {
    this.#guard.spend(FLOOD.settings)
    if ((flags & FLAG.ack) !== 0) return
    if ((to - from) / SETTING_BYTES > MAX_SETTINGS) throw floodError(FLOOD.settings)
    const before = this.#peer.initialWindowBytes
    for (let at = from; at < to; at += SETTING_BYTES) {
      const tableBytes = this.#peer.apply(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2))
      if (tableBytes !== undefined) this.#sender.setTableSize(tableBytes)
    }
    this.#sender.acknowledgeSettings()
    if (this.initialWindowBytes === before) return
    this.#streams.changeWindows(this.initialWindowBytes - before)
    this.#sender.pump()
  }

  onPing(flags: number, bytes: Buffer, from: number): void {
    this.#guard.spend(FLOOD.ping)
    if ((flags & FLAG.ack) === 0) this.#sender.acknowledgePing(bytes, from)
  }

  onWindowUpdate(streamId: number, bytes: Buffer, from: number): void {
    this.#guard.spend(FLOOD.windowUpdate)
    const increment = bytes.readUInt32BE(from) & MAX_31_BITS
    if (streamId === 0) {
      this.#widenConnection(increment)
      return
    }
    const stream = this.#streams.get(streamId)
    if (stream === undefined) {
      // RFC 9113 6.9: an increment of 0 is an error on any stream. Another one on a closed stream is late, and ignored.
      if (increment === 0) this.#streams.refuse(streamId, ERROR.protocolError)
      return
    }
    if (increment === 0) {
      this.#streams.fail(stream, ERROR.protocolError)
      return
    }
    stream.sendWindow += increment
    if (stream.sendWindow > MAX_31_BITS) {
      this.#streams.fail(stream, ERROR.flowControlError)
    } else if (stream.isReady) {
      this.#streams.awaitTurn(stream)
      this.#sender.pump()
    }
  }

  /** Checked, then ignored (RFC 9113 5.3.2). */
  onPriority(streamId: number, bytes: Buffer, from: number, to: number): void {
    this.#guard.spend(FLOOD.priority)
    const isWrongSize = to - from !== PRIORITY_BYTES
    if (!isWrongSize && (bytes.readUInt32BE(from) & MAX_31_BITS) !== streamId) return
    const stream = this.#streams.get(streamId)
    // An idle stream cannot be reset.
    if (stream !== undefined)
      this.#streams.fail(stream, isWrongSize ? ERROR.frameSizeError : ERROR.protocolError)
    else if (isWrongSize) throw frameSizeError('PRIORITY')
    else throw protocolError('a stream that depends on itself')
  }

  onPriorityUpdate(bytes: Buffer, from: number, to: number): void {
    this.#guard.spend(FLOOD.priority)
    const streamId = bytes.readUInt32BE(from) & MAX_31_BITS
    // RFC 9218 7.1: no stream, or a push that we have not promised.
    if (streamId % 2 === 0) throw protocolError('PRIORITY_UPDATE for a stream that is no client’s')
    const stream = this.#streams.get(streamId)
    if (stream === undefined && !this.#streams.isIdle(streamId)) return
    const priority = parsePriority(bytes.toString('latin1', from + 4, to))
    if (stream !== undefined) {
      this.#sender.reprioritise(stream, priority)
      return
    }
    this.#earlyPriorities ??= new Map()
    if (this.#earlyPriorities.size < MAX_EARLY_PRIORITIES) this.#earlyPriorities.set(streamId, priority)
  }

  #widenConnection(increment: number): void {
    if (increment === 0) throw protocolError('WINDOW_UPDATE by nothing')
    this.#sender.window += increment
    if (this.#sender.window > MAX_31_BITS)
      throw new ConnectionError(ERROR.flowControlError, 'a window beyond 2^31-1')
    this.#sender.pump()
  }
}
