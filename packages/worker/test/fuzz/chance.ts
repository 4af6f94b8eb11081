// Choices that repeat themselves with their seed.
import { createRandom } from '../../../supervisor/test/support/random.ts'

export class Chance {
  readonly #next: () => number

  constructor(seed: number) {
    this.#next = createRandom(seed)
  }

  /** From 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.#next() * limit)
  }

  /** True in `percent` of 100 cases. */
  percent(percent: number): boolean {
    return this.below(100) < percent
  }

  /** @throws RangeError if there is nothing to pick from */
  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)]
    if (picked === undefined) throw new RangeError('nothing to pick from')
    return picked
  }

  /** `text` in pieces of 1 to `longest` characters. */
  pieces(text: string, longest: number): string[] {
    const pieces: string[] = []
    for (let at = 0; at < text.length;) {
      const length = 1 + this.below(longest)
      pieces.push(text.slice(at, at + length))
      at += length
    }
    return pieces
  }

  /** Every letter in one case or the other. */
  mixCase(text: string): string {
    return text.replaceAll(/[a-z]/giu, (letter) => {
      return this.percent(50) ? letter.toUpperCase() : letter.toLowerCase()
    })
  }
}
