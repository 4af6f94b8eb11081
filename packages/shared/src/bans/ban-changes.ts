// Bans as the supervisor sends them to workers: three numbers for each client, packed. The clocks of two processes do not
// agree, so the time that is left is sent and not the end. Pure.
import type { BanList, ClientId } from './ban-list.ts'

const WORDS = 3
const UNIT_MS = 100

export interface BanChange extends ClientId {
  /** 0: the ban is lifted. */
  readonly leftMs: number
}

export function packBans(changes: readonly BanChange[]): Uint32Array {
  const packed = new Uint32Array(changes.length * WORDS)
  for (const [index, { high, low, leftMs }] of changes.entries())
    packed.set([high, low, Math.ceil(leftMs / UNIT_MS)], index * WORDS)
  return packed
}

/** Every ban of `list`, for a worker that starts. */
export function packBanList(list: BanList, nowMs: number): Uint32Array {
  const packed = new Uint32Array(list.size * WORDS)
  let at = 0
  for (const { high, low, endMs } of list.entries(nowMs)) {
    packed.set([high, low, Math.ceil((endMs - nowMs) / UNIT_MS)], at)
    at += WORDS
  }
  return packed.subarray(0, at)
}

export function applyBans(packed: Uint32Array, list: BanList, nowMs: number): void {
  for (let at = 0; at < packed.length; at += WORDS) {
    const id = { high: packed[at]!, low: packed[at + 1]! }
    const left = packed[at + 2]!
    if (left === 0) list.delete(id)
    else if (!list.set(id, nowMs + left * UNIT_MS)) {
      // The supervisor's list has room for it, so ours is full of bans that have ended.
      list.sweep(nowMs)
      list.set(id, nowMs + left * UNIT_MS)
    }
  }
}
