// How a worker ended, and what follows from it. Pure.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { WorkerStage } from './plan.ts'

/** Why plan.ts has a worker killed that has bound nothing yet: nobody waits for it any more. */
export const NOT_WANTED = 'not wanted any more'

/** Why plan.ts has a worker cut that drains. */
export const TOO_MANY_GENERATIONS = 'too many generations are draining'

export interface EndedWorker {
  readonly stage: WorkerStage
  /** The reason why it was cut or killed. */
  readonly endReason: string | undefined
  readonly code: number | null
}

export type Ending =
  /** Drained to its end, or no longer wanted. */
  | 'planned'
  /** It was draining, and had to be cut. */
  | 'cut'
  /** It never served. */
  | 'boot-failed'
  /** It served, or was finishing what it had, and died of itself or was killed for its silence. */
  | 'crashed'

export function endingOf({ stage, endReason, code }: EndedWorker): Ending {
  switch (stage) {
    case 'booting':
      return endReason === NOT_WANTED ? 'planned' : 'boot-failed'
    case 'draining':
      if (endReason !== undefined) return 'cut'
      return code === 0 ? 'planned' : 'crashed'
    case 'ready':
      return 'crashed'
    default:
      return assertNever(stage)
  }
}
