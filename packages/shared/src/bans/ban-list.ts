// Up to a million banned clients, each until a time, in one block of memory: a hash table of 12-byte slots (open
// addressing, linear probing, never more than half full). Supervisor and workers each keep one. Knows no rules.
//
// The block is reserved with the first ban and never grows; the system backs a page when it is first touched. Rejected: a
// Map with the addresses as keys takes about five times the memory.
import { ipv6Groups } from '../ip-address.ts'

/** 64 bits that name a client: the prefix of its IPv6 /64, or an IPv4 address with a `high` of 0. */
export interface ClientId {
  readonly high: number
  readonly low: number
}

export const MAX_BANS = 1_000_000

/** The end of a ban is kept in units of this, rounded up. */
const TICK_MS = 100
// Where things are in a slot. An end of 0 is an empty slot.
const HIGH = 0
const LOW = 1
const END = 2
const SLOT_WORDS = 3

/** @param key of client-key.ts @returns undefined if it is no address */
export function clientIdOf(key: string): ClientId | undefined {
  if (!key.includes(':')) {
    const low = ipv4Number(key)
    return low === undefined ? undefined : { high: 0, low }
  }
  const groups = ipv6Groups(key.endsWith('/64') ? key.slice(0, -3) : key)
  if (groups === undefined) return undefined
  const [a = 0, b = 0, c = 0, d = 0] = groups
  return { high: a * 0x10000 + b, low: c * 0x10000 + d }
}

/**
 * The inverse of clientIdOf. No client has a prefix `0:0:x:y::/64` (RFC 4291 2.4: reserved), but for the loopback address
 * in 0:0:0:0::/64; and no client has the address 0.0.0.0.
 */
export function clientKeyOf({ high, low }: ClientId): string {
  if (high === 0 && low !== 0) return [low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255].join('.')
  const groups = [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff]
  return `${groups.map((group) => group.toString(16)).join(':')}::/64`
}

function ipv4Number(text: string): number | undefined {
  const octets = text.split('.')
  if (octets.length !== 4) return undefined
  let number = 0
  for (const octet of octets) {
    const value = Number(octet)
    if (!Number.isInteger(value) || value < 0 || value > 255) return undefined
    number = number * 256 + value
  }
  return number
}

export class BanList {
  readonly #seed: number
  readonly #capacity: number
  readonly #mask: number
  #words: Uint32Array | undefined
  #size = 0

  /** @param seed 32 random bits, so that nobody can choose addresses that share a slot */
  constructor(seed: number, capacity = MAX_BANS) {
    this.#seed = seed
    this.#capacity = capacity
    this.#mask = 2 ** Math.ceil(Math.log2(capacity * 2)) - 1
  }

  /** Number of clients, among them those whose ban has ended since the last sweep. */
  get size(): number {
    return this.#size
  }

  /** Bans a client, or changes the end of its ban. @returns false: the list is full and nothing has changed */
  set(id: ClientId, endMs: number): boolean {
    const words = (this.#words ??= new Uint32Array((this.#mask + 1) * SLOT_WORDS))
    const at = this.#find(words, id)
    if (words[at + END] === 0) {
      if (this.#size >= this.#capacity) return false
      this.#size += 1
      words[at + HIGH] = id.high
      words[at + LOW] = id.low
    }
    words[at + END] = Math.max(1, Math.ceil(endMs / TICK_MS))
    return true
  }

  /** Undefined: not banned, or no longer. */
  endMsOf(id: ClientId, nowMs: number): number | undefined {
    if (this.#words === undefined) return undefined
    const end = this.#words[this.#find(this.#words, id) + END]!
    return end * TICK_MS > nowMs ? end * TICK_MS : undefined
  }

  /** @returns false: the client was not on the list */
  delete(id: ClientId): boolean {
    if (this.#words === undefined) return false
    const at = this.#find(this.#words, id)
    if (this.#words[at + END] === 0) return false
    this.#vacate(this.#words, at)
    return true
  }

  clear(): void {
    this.#words = undefined
    this.#size = 0
  }

  /** Removes the bans that have ended. Walks the whole table: tens of milliseconds when it has been full. */
  sweep(nowMs: number): void {
    const words = this.#words
    if (words === undefined) return
    for (let at = 0; at < words.length; at += SLOT_WORDS) {
      // Another entry may have moved into the slot.
      while (words[at + END] !== 0 && words[at + END]! * TICK_MS <= nowMs) this.#vacate(words, at)
    }
  }

  /** The clients that are banned now, in no order; the list must not change meanwhile. */
  *entries(nowMs: number): Generator<ClientId & { readonly endMs: number }> {
    const words = this.#words
    if (words === undefined) return
    for (let at = 0; at < words.length; at += SLOT_WORDS) {
      const endMs = words[at + END]! * TICK_MS
      if (endMs > nowMs) yield { high: words[at + HIGH]!, low: words[at + LOW]!, endMs }
    }
  }

  /** Where the slot of `id` begins, or the empty slot where it belongs. */
  #find(words: Uint32Array, { high, low }: ClientId): number {
    let slot = this.#home(high, low)
    for (;;) {
      const at = slot * SLOT_WORDS
      if (words[at + END] === 0 || (words[at + HIGH] === high && words[at + LOW] === low)) return at
      slot = (slot + 1) & this.#mask
    }
  }

  /** Empties the slot at `hole` and moves entries that linear probing had pushed behind it. */
  #vacate(words: Uint32Array, hole: number): void {
    this.#size -= 1
    let empty = hole / SLOT_WORDS
    let slot = (empty + 1) & this.#mask
    for (let at = slot * SLOT_WORDS; words[at + END] !== 0; at = slot * SLOT_WORDS) {
      const pushed = (slot - this.#home(words[at + HIGH]!, words[at + LOW]!)) & this.#mask
      if (pushed >= ((slot - empty) & this.#mask)) {
        words.copyWithin(empty * SLOT_WORDS, at, at + SLOT_WORDS)
        empty = slot
      }
      slot = (slot + 1) & this.#mask
    }
    words[empty * SLOT_WORDS + END] = 0
  }

  /** Mixes all bits with the seed; the multipliers are odd numbers with well-spread bits. */
  #home(high: number, low: number): number {
    let hash = Math.imul(this.#seed ^ high, 0x9e3779b1)
    hash = Math.imul(hash ^ (hash >>> 15) ^ low, 0x85ebca77)
    hash = Math.imul(hash ^ (hash >>> 13), 0x9e3779b1)
    return (hash ^ (hash >>> 16)) & this.#mask
  }
}
