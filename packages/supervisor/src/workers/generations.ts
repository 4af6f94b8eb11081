// Which generations of workers may live side by side. Pure. A roll begins a new generation; those before it drain,
// each for as long as it has been given, and so many of them at a time that rolls in a row do not fill the machine.
import type { WorkerStage } from './plan.ts'

/** Generations before the current one that may live. */
const OLD_GENERATIONS = 2

/** How long a roll waits for a generation that is one too many; the default of `shutdown_timeout_secs`. */
const ROLL_PATIENCE_MS = 30_000

export interface WantedGeneration {
  /** The generation of workers forked from now on. */
  readonly generation: number
  /** Since when this one is wanted (ms). */
  readonly sinceMs: number
  /** Older generations that need not be replaced: those before a roll that failed. */
  readonly goodGenerations: ReadonlySet<number>
}

interface GenerationMember {
  readonly generation: number
  readonly stage: WorkerStage
}

/** When what is in the way of the wanted generation is waited for no longer. */
export function patienceEndsMs({ sinceMs }: WantedGeneration): number {
  return sinceMs + ROLL_PATIENCE_MS
}

export function isCurrent(generation: number, wanted: WantedGeneration): boolean {
  return generation === wanted.generation || wanted.goodGenerations.has(generation)
}

/**
 * The draining workers of the oldest generations that exceed the number of old generations allowed beside the wanted
 * one. Serving workers never count: the roll replaces them.
 */
export function crowdOf<Member extends GenerationMember>(
  wanted: WantedGeneration,
  alive: readonly Member[],
): readonly Member[] {
  const old = alive.filter(({ generation }) => !isCurrent(generation, wanted))
  const serving = new Set(old.filter(({ stage }) => stage !== 'draining').map(({ generation }) => generation))
  // Counted as they live, not by their numbers: a roll that failed leaves none behind.
  const leaving = [...new Set(old.map(({ generation }) => generation))]
    .filter((generation) => !serving.has(generation))
    .toSorted((a, b) => b - a)
  const surplus = new Set(leaving.slice(Math.max(0, OLD_GENERATIONS - serving.size)))
  return old.filter(({ generation }) => surplus.has(generation))
}
