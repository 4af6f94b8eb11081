// Up to a million token buckets in two blocks of memory: records of 32 bytes, close together, and a hash
// index over them (open addressing, linear probing, never more than half full). Knows no limits.
//
// Both blocks are reserved at once and never grow, so no insertion stalls to copy or rehash. The system backs a page
// when it is first touched, so few buckets cost little. Rejected: a Map of objects takes about four times the memory
// and stalls when it grows.
import type { BucketState } from '@reverse-proxy/shared/rate-limit/token-bucket'

/** 96 bits that name a bucket. */
export interface BucketId {
  readonly high: number
  readonly low: number
  /** Scope and address family. */
  readonly tag: number
}

const RECORD_BYTES = 32
// Where things are in a record.
const HIGH = 0
const LOW = 4
const TAG = 8
const LEASED = 12
const TOKENS = 16
const AT_MS = 24

const SLOT_BYTES = 4
/** A slot holds the position of a record plus one, so that untouched memory is an empty index. */
const EMPTY = 0

export class BucketTable {
  readonly capacity: number
  readonly #seed: number
  readonly #mask: number
  readonly #records: DataView
  readonly #slots: DataView
  #size = 0

  /** @param seed 32 random bits, so that nobody can choose addresses that share a slot */
  constructor(capacity: number, seed: number) {
    this.capacity = capacity
    this.#seed = seed
    const slots = 2 ** Math.ceil(Math.log2(capacity * 2))
    this.#mask = slots - 1
    this.#records = new DataView(new ArrayBuffer(capacity * RECORD_BYTES))
    this.#slots = new DataView(new ArrayBuffer(slots * SLOT_BYTES))
  }

  get size(): number {
    return this.#size
  }

  /** Position of the record, -1 if there is none. Positions change when a record is removed. */
  find(id: BucketId): number {
    return this.#recordIn(this.#slotOf(id))
  }

  /** Adds a bucket that is not in the table; there must be room. Returns its position. */
  insert(id: BucketId, bucket: BucketState): number {
    const position = this.#size++
    const at = position * RECORD_BYTES
    this.#records.setUint32(at + HIGH, id.high)
    this.#records.setUint32(at + LOW, id.low)
    this.#records.setUint32(at + TAG, id.tag)
    this.write(position, bucket)
    this.#setSlot(this.#slotOf(id), position)
    return position
  }

  /** Removes a record; the last record takes its place. */
  remove(position: number): void {
    this.#vacate(this.#slotOf(this.idAt(position)))
    const last = --this.#size
    if (position === last) return
    const slotOfLast = this.#slotOf(this.idAt(last))
    const bytes = new Uint8Array(this.#records.buffer)
    bytes.copyWithin(position * RECORD_BYTES, last * RECORD_BYTES, (last + 1) * RECORD_BYTES)
    this.#setSlot(slotOfLast, position)
  }

  idAt(position: number): BucketId {
    const at = position * RECORD_BYTES
    return {
      high: this.#records.getUint32(at + HIGH),
      low: this.#records.getUint32(at + LOW),
      tag: this.#records.getUint32(at + TAG),
    }
  }

  read(position: number): BucketState {
    const at = position * RECORD_BYTES
    return {
      tokens: this.#records.getFloat64(at + TOKENS),
      leased: this.#records.getUint32(at + LEASED),
      atMs: this.#records.getFloat64(at + AT_MS),
    }
  }

  write(position: number, bucket: BucketState): void {
    const at = position * RECORD_BYTES
    this.#records.setUint32(at + LEASED, bucket.leased)
    this.#records.setFloat64(at + TOKENS, bucket.tokens)
    this.#records.setFloat64(at + AT_MS, bucket.atMs)
  }

  /** The slot of `id`, or the empty slot where it belongs. */
  #slotOf(id: BucketId): number {
    let slot = this.#home(id)
    for (let position = this.#recordIn(slot); position >= 0; position = this.#recordIn(slot)) {
      const at = position * RECORD_BYTES
      if (
        this.#records.getUint32(at + LOW) === id.low &&
        this.#records.getUint32(at + HIGH) === id.high &&
        this.#records.getUint32(at + TAG) === id.tag
      ) {
        break
      }
      slot = (slot + 1) & this.#mask
    }
    return slot
  }

  /** Empties `hole` and moves entries that linear probing had pushed behind it. */
  #vacate(hole: number): void {
    let slot = (hole + 1) & this.#mask
    for (let position = this.#recordIn(slot); position >= 0; position = this.#recordIn(slot)) {
      const home = this.#home(this.idAt(position))
      const pushed = (slot - home) & this.#mask
      const beyondHole = (slot - hole) & this.#mask
      if (pushed >= beyondHole) {
        this.#setSlot(hole, position)
        hole = slot
      }
      slot = (slot + 1) & this.#mask
    }
    this.#setSlot(hole, EMPTY - 1)
  }

  #recordIn(slot: number): number {
    return this.#slots.getUint32(slot * SLOT_BYTES) - 1
  }

  #setSlot(slot: number, position: number): void {
    this.#slots.setUint32(slot * SLOT_BYTES, position + 1)
  }

  /** Mixes all 96 bits with the seed; the multipliers are odd numbers with well-spread bits. */
  #home({ high, low, tag }: BucketId): number {
    let hash = this.#seed
    for (const word of [high, low, tag]) {
      hash = Math.imul(hash ^ word, 0x9e3779b1)
      hash ^= hash >>> 15
      hash = Math.imul(hash, 0x85ebca77)
      hash ^= hash >>> 13
    }
    return hash & this.#mask
  }
}
