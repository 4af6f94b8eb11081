// Finds where the frames of one direction of a WebSocket begin and end (RFC 6455 5.2), so that we know when a frame of
// ours may come between two of theirs. Pure.

/** An unmasked close frame with status 1001, going away, which a server sends when it shuts down (RFC 6455 7.4.1). */
export const CLOSE_GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9])

const OPCODE_MASK = 0x0f
const OPCODE_CLOSE = 0x8
const MASKED = 0x80
const LENGTH_MASK = 0x7f
const LENGTH_IN_2_BYTES = 126
const LENGTH_IN_8_BYTES = 127
const MASKING_KEY_BYTES = 4
/** The first two bytes: flags and opcode; mask bit and the length, or the size of the length. */
const SHORTEST_HEADER_BYTES = 2

export class FrameBoundary {
  /** Payload bytes of the current frame that are still missing. */
  #payloadBytes = 0
  /** The header of the current frame: bytes seen, bytes in all, and the length read so far. */
  #headerBytes = 0
  #wantedHeaderBytes = SHORTEST_HEADER_BYTES
  #lengthBytes = 0
  #length = 0
  #isClosed = false

  /** Call with every byte, in order. */
  see(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#payloadBytes > 0) {
        const passed = Math.min(this.#payloadBytes, chunk.length - at)
        this.#payloadBytes -= passed
        at += passed
      } else {
        this.#seeHeaderByte(chunk[at]!)
        at += 1
      }
    }
  }

  /** The last byte was the last of a frame, and no close frame has passed: another frame may follow. */
  get mayInsert(): boolean {
    return this.#payloadBytes === 0 && this.#headerBytes === 0 && !this.#isClosed
  }

  #seeHeaderByte(byte: number): void {
    this.#headerBytes += 1
    if (this.#headerBytes === 1) {
      // RFC 6455 5.5.1: nothing follows a close frame.
      if ((byte & OPCODE_MASK) === OPCODE_CLOSE) this.#isClosed = true
    } else if (this.#headerBytes === SHORTEST_HEADER_BYTES) {
      this.#seeShortLength(byte)
    } else if (this.#headerBytes <= SHORTEST_HEADER_BYTES + this.#lengthBytes) {
      this.#length = this.#length * 256 + byte
    }
    if (this.#headerBytes === this.#wantedHeaderBytes && this.#headerBytes >= SHORTEST_HEADER_BYTES) {
      this.#payloadBytes = this.#length
      this.#headerBytes = 0
      this.#wantedHeaderBytes = SHORTEST_HEADER_BYTES
    }
  }

  #seeShortLength(byte: number): void {
    const short = byte & LENGTH_MASK
    this.#lengthBytes = short === LENGTH_IN_2_BYTES ? 2 : short === LENGTH_IN_8_BYTES ? 8 : 0
    this.#length = this.#lengthBytes === 0 ? short : 0
    const maskBytes = (byte & MASKED) === 0 ? 0 : MASKING_KEY_BYTES
    this.#wantedHeaderBytes = SHORTEST_HEADER_BYTES + this.#lengthBytes + maskBytes
  }
}
