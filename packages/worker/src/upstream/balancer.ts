// Chooses one of several peers. Random numbers and keys are passed in, so that a test can predict every choice. Pure.

export interface Candidate {
  /** Its share of the requests, compared with those of the others. */
  readonly weight: number
  /** Connections that are busy with a request. */
  readonly load: number
  /** Hash of its address: the same in every worker, and after every restart. */
  readonly hash: number
  /** Used by `roundRobin` alone: how far its turn is overdue. */
  credit: number
}

/** Draws two peers and chooses the one with fewer requests for its weight. @param random returns a number in [0, 1) */
export function leastRequests<T extends Candidate>(candidates: readonly T[], random: () => number): T {
  const one = draw(candidates, random())
  const other = draw(candidates, random())
  return other.load / other.weight < one.load / one.weight ? other : one
}

/** Every peer in turn; the turns of each are spread evenly. */
export function roundRobin<T extends Candidate>(candidates: readonly T[]): T {
  let chosen = first(candidates)
  let total = 0
  for (const candidate of candidates) {
    candidate.credit += candidate.weight
    total += candidate.weight
    if (candidate.credit > chosen.credit) chosen = candidate
  }
  chosen.credit -= total
  return chosen
}

/**
 * The same peer for the same key (weighted rendezvous hashing). When a peer goes, only its own keys move, to all others.
 */
export function byKey<T extends Candidate>(candidates: readonly T[], key: string): T {
  const keyHash = hashOf(key)
  let chosen = first(candidates)
  let best = -Infinity
  for (const candidate of candidates) {
    const point = (mix(keyHash ^ candidate.hash) + 0.5) / 0x1_0000_0000
    const score = candidate.weight / -Math.log(point)
    if (score <= best) continue
    best = score
    chosen = candidate
  }
  return chosen
}

/** 32 bits, FNV-1a with a final mix. */
export function hashOf(text: string): number {
  let hash = 0x811c_9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193)
  return mix(hash)
}

/** Each bit of the result depends on all bits of `hash` (the finalizer of MurmurHash3). */
function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 16)
  mixed = Math.imul(mixed, 0x85eb_ca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2_ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

function draw<T extends Candidate>(candidates: readonly T[], point: number): T {
  let left = point * candidates.reduce((sum, { weight }) => sum + weight, 0)
  for (const candidate of candidates) {
    left -= candidate.weight
    if (left < 0) return candidate
  }
  return first(candidates)
}

function first<T>(candidates: readonly T[]): T {
  const [candidate] = candidates
  if (candidate === undefined) throw new TypeError('there is no peer to choose from')
  return candidate
}
