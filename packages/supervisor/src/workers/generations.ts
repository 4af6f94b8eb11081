// Which generations of workers may live side by side. Pure. A rolling restart begins a new generation and drains the
// older ones; their number is limited, so that several restarts in a row do not fill the machine.
import type { WorkerView } from './worker-view.ts'

/** Generations that may live beside the current one. */
const OLD_GENERATIONS = 2

/** How long a roll waits for an excess generation; the default of `shutdown_timeout_secs`. */
const ROLL_TIMEOUT_MS = 30_000

export interface WantedGeneration {
  /** The generation of workers forked from now on. */
  readonly generation: number
  /** Since when this one is wanted (ms). */
  readonly sinceMs: number
  /** Older generations that need not be replaced: those from before a roll that failed. */
  readonly goodGenerations: ReadonlySet<number>
}

type GenerationMember = Pick<WorkerView, 'generation' | 'stage'>

/** When a roll stops waiting for excess generations and cuts them. */
export function rollDeadlineMs({ sinceMs }: WantedGeneration): number {
  return sinceMs + ROLL_TIMEOUT_MS
}

export function isCurrent(generation: number, wanted: WantedGeneration): boolean {
  return generation === wanted.generation || wanted.goodGenerations.has(generation)
}

/**
 * The draining workers of the oldest generations that exceed the number of old generations allowed beside the wanted
 * one. Serving workers never count: the roll replaces them.
 */
export function excessGenerations<Member extends GenerationMember>(
  wanted: WantedGeneration,
  alive: readonly Member[],
): readonly Member[] {
  const old = alive.filter(({ generation }) => !isCurrent(generation, wanted))
  const serving = new Set(old.filter(({ stage }) => stage !== 'draining').map(({ generation }) => generation))
  // Count living generations rather than their numbers: a failed roll leaves no worker of its generation.
  const leaving = [...new Set(old.map(({ generation }) => generation))]
    .filter((generation) => !serving.has(generation))
    .toSorted((a, b) => b - a)
  const surplus = new Set(leaving.slice(Math.max(0, OLD_GENERATIONS - serving.size)))
  return old.filter(({ generation }) => surplus.has(generation))
}
