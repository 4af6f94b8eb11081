// What to do about the workers now. Pure: (what is wanted, what is there, the time) -> actions.
// A slot is a worker's place (1..wanted); a generation is one rolling replacement of all of them.
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'
import type { Backoff } from './backoff.ts'
import { NO_BACKOFF } from './backoff.ts'
import { NOT_WANTED } from './ending.ts'
import type { RecyclableWorker } from './recycling.ts'
import { recycleAtMs } from './recycling.ts'

/** booting: forked, not bound yet. ready: serving. draining: told to finish and exit. */
export type WorkerStage = 'booting' | 'ready' | 'draining'

export interface WorkerView extends RecyclableWorker {
  readonly pid: number
  readonly slot: number
  readonly generation: number
  readonly stage: WorkerStage
  /** When it must have left its stage (ms); Infinity when ready. */
  readonly deadlineMs: number
  /** When it last said that it lives. */
  readonly lastBeatMs: number
  /** It may still take connections: always, until it has said while draining that it takes none. */
  readonly accepting: boolean
  /** SIGKILL was sent; its exit is on the way. */
  readonly killed: boolean
}

export interface Wanted {
  readonly workers: number
  /** Of the workers forked from now on. */
  readonly generation: number
  /** Older generations that need not be replaced: those before a roll that failed. */
  readonly goodGenerations: ReadonlySet<number>
  readonly recycle: RecycleLimits
  /** False while stopping: nothing is forked, everything is drained. */
  readonly running: boolean
  /** True while it is being found out why one could not start: the next would fare no better. */
  readonly holdsForks: boolean
}

export type Action =
  | { readonly type: 'fork'; readonly slot: number; readonly generation: number }
  | { readonly type: 'drain'; readonly pid: number }
  | { readonly type: 'kill'; readonly pid: number; readonly reason: string }

export interface Plan {
  readonly actions: readonly Action[]
  /** When to plan again if nothing happens before; undefined: only when something happens. */
  readonly wakeAtMs: number | undefined
}

/** SPEC 11: a worker that says nothing for so long is not going to. */
export const SILENCE_MS = 10_000

/** Generations before the current one that may still live; what drains of an older one is cut. */
const OLD_GENERATIONS = 2

export function planWorkers(
  wanted: Wanted,
  workers: readonly WorkerView[],
  backoffs: ReadonlyMap<number, Backoff>,
  nowMs: number,
): Plan {
  const actions: Action[] = []
  let wakeAtMs = Infinity
  const alive = workers.filter((worker) => !worker.killed)
  const tooOld = surplusGenerations(wanted, alive)

  for (const worker of alive) {
    if (worker.deadlineMs <= nowMs) {
      const reason = worker.stage === 'booting' ? 'did not become ready in time' : 'drain time is over'
      actions.push({ type: 'kill', pid: worker.pid, reason })
    } else if (worker.stage === 'draining' && tooOld.has(worker.generation)) {
      actions.push({ type: 'kill', pid: worker.pid, reason: 'too many generations are draining' })
    } else if (worker.stage !== 'booting' && worker.lastBeatMs + SILENCE_MS <= nowMs) {
      actions.push({ type: 'kill', pid: worker.pid, reason: `silent for ${SILENCE_MS / 1000} s` })
    } else {
      const silentMs = worker.stage === 'booting' ? Infinity : worker.lastBeatMs + SILENCE_MS
      const wornMs = recycleAtMs(worker, wanted.recycle)
      wakeAtMs = Math.min(wakeAtMs, worker.deadlineMs, silentMs, wornMs > nowMs ? wornMs : Infinity)
    }
  }

  const staying = alive.filter((worker) => worker.stage !== 'draining')
  for (const worker of staying) {
    if (wanted.running && worker.slot <= wanted.workers) continue
    if (worker.stage === 'ready') actions.push({ type: 'drain', pid: worker.pid })
    else actions.push({ type: 'kill', pid: worker.pid, reason: NOT_WANTED })
  }

  if (wanted.running) {
    // SPEC 11: one fresh worker of a roll boots at a time, and the next waits until the predecessor of the one
    // before accepts nothing more. Empty slots are filled without waiting for each other.
    let rollIsBusy = alive.some(
      ({ stage, accepting }) => stage === 'booting' || (stage === 'draining' && accepting),
    )
    for (let slot = 1; slot <= wanted.workers; slot++) {
      const mine = staying.filter((worker) => worker.slot === slot)
      const fresh = mine.find((worker) => isFresh(worker, wanted, nowMs))
      if (fresh?.stage === 'ready') {
        for (const old of mine) {
          if (old === fresh) continue
          actions.push({ type: 'drain', pid: old.pid })
          rollIsBusy = true
        }
      }
      if (fresh !== undefined) continue
      const isRoll = mine.length > 0
      if (wanted.holdsForks || (isRoll && rollIsBusy)) continue
      const { retryAtMs } = backoffs.get(slot) ?? NO_BACKOFF
      if (retryAtMs > nowMs) {
        wakeAtMs = Math.min(wakeAtMs, retryAtMs)
        continue
      }
      actions.push({ type: 'fork', slot, generation: wanted.generation })
      if (isRoll) rollIsBusy = true
    }
  }
  return { actions, wakeAtMs: wakeAtMs === Infinity ? undefined : wakeAtMs }
}

/** It may stay as it is. */
function isFresh(worker: WorkerView, wanted: Wanted, nowMs: number): boolean {
  if (recycleAtMs(worker, wanted.recycle) <= nowMs) return false
  return worker.generation === wanted.generation || wanted.goodGenerations.has(worker.generation)
}

/** Counted as they live, not by their numbers: a roll that failed leaves none behind. */
function surplusGenerations(wanted: Wanted, alive: readonly WorkerView[]): ReadonlySet<number> {
  const generations = new Set(alive.map(({ generation }) => generation))
  const old = [...generations].filter(
    (generation) => generation !== wanted.generation && !wanted.goodGenerations.has(generation),
  )
  return new Set(old.toSorted((a, b) => b - a).slice(OLD_GENERATIONS))
}
