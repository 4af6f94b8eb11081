// Chance that repeats itself: the same seed, the same numbers.

/** From 0 up to, and without, 1. */
export type Random = () => number

export function createRandom(seed: number): Random {
  // Xorshift; it must never be 0, and seeds close to each other must be far apart.
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
