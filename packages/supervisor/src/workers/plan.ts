// Decides what to do about the workers now. Pure: (wanted, present, time) -> actions.
// Every time is of workers/watch.ts, which does not count time in which the supervisor could not listen.
// A slot is a worker's place (1..wanted); a generation is one rolling replacement of all of them.
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'
import type { Backoff } from './backoff.ts'
import { NO_BACKOFF } from './backoff.ts'
import { NOT_WANTED, TOO_MANY_GENERATIONS } from './ending.ts'
import type { WantedGeneration } from './generations.ts'
import { crowdOf, isCurrent, patienceEndsMs } from './generations.ts'
import type { RecyclableWorker } from './recycling.ts'
import { recycleAtMs } from './recycling.ts'

/** booting: forked, not bound yet. ready: serving. draining: told to finish and exit. */
export type WorkerStage = 'booting' | 'ready' | 'draining'

export interface WorkerView extends RecyclableWorker {
  readonly pid: number
  readonly slot: number
  readonly generation: number
  readonly stage: WorkerStage
  /** It has been told what to bind: from now on there may be connections that it has taken. */
  readonly started: boolean
  /** When it must have left its stage (ms); Infinity when ready. */
  readonly deadlineMs: number
  /** When it last said that it lives. */
  readonly lastBeatMs: number
  /** It may still take connections: always, until it has said while draining that it takes none. */
  readonly accepting: boolean
  /** Told that its time is up: it is about to end by itself. */
  readonly wasCut: boolean
  /** SIGKILL was sent; its exit is on the way. */
  readonly killed: boolean
}

export interface Wanted extends WantedGeneration {
  readonly workers: number
  readonly recycle: RecycleLimits
  /** False while stopping: nothing is forked, everything is drained. */
  readonly running: boolean
  /** True while it is being found out why one could not start: the next would fare no better. */
  readonly holdsForks: boolean
  /** How many workers may boot at a time. */
  readonly bootsAtOnce: number
}

export type Action =
  | { readonly type: 'fork'; readonly slot: number; readonly generation: number }
  | { readonly type: 'drain'; readonly pid: number }
  /** It has no time left to finish in, only to say goodbye. */
  | { readonly type: 'cut'; readonly pid: number; readonly reason: string }
  /** It does not answer, or has nothing to lose. */
  | { readonly type: 'kill'; readonly pid: number; readonly reason: string }

export interface Plan {
  readonly actions: readonly Action[]
  /** When to plan again if nothing happens before; undefined: only when something happens. */
  readonly wakeAtMs: number | undefined
  /** Whose end a roll waits for. */
  readonly awaited: readonly number[]
}

/** A worker that says nothing for so long is not going to. */
export const SILENCE_MS = 10_000

export function planWorkers(
  wanted: Wanted,
  workers: readonly WorkerView[],
  backoffs: ReadonlyMap<number, Backoff>,
  nowMs: number,
): Plan {
  const actions: Action[] = []
  const alive = workers.filter((worker) => !worker.killed)
  const crowd = wanted.running ? crowdOf(wanted, alive) : []
  const cutAtMs = patienceEndsMs(wanted)
  let wakeAtMs = Infinity

  for (const worker of alive) {
    const { pid } = worker
    const fault = faultOf(worker, nowMs)
    if (fault !== undefined) {
      actions.push({ type: 'kill', pid, reason: fault })
      continue
    }
    wakeAtMs = Math.min(wakeAtMs, nextDeadlineMs(worker, wanted, nowMs))
    if (worker.wasCut || !crowd.includes(worker)) continue
    if (cutAtMs <= nowMs) actions.push({ type: 'cut', pid, reason: TOO_MANY_GENERATIONS })
    else wakeAtMs = Math.min(wakeAtMs, cutAtMs)
  }

  for (const worker of alive) {
    const { pid, slot, stage, started } = worker
    if (stage === 'draining' || (wanted.running && slot <= wanted.workers)) continue
    if (stage === 'ready' || started) actions.push({ type: 'drain', pid })
    else actions.push({ type: 'kill', pid, reason: NOT_WANTED })
  }

  if (!wanted.running) return { actions, wakeAtMs: finiteOrUndefined(wakeAtMs), awaited: [] }
  // A killed one still takes its share of the machine until it has exited.
  const booting = workers.filter(({ stage }) => stage === 'booting').length
  const mayFork = !wanted.holdsForks && booting < wanted.bootsAtOnce
  const slots = planSlots(wanted, alive, { isCrowded: crowd.length > 0, mayFork }, backoffs, nowMs)
  return {
    actions: [...actions, ...slots.actions],
    wakeAtMs: finiteOrUndefined(Math.min(wakeAtMs, slots.wakeAtMs)),
    awaited: slots.isHeld ? crowd.map(({ pid }) => pid) : [],
  }
}

/** Why it must be killed; it answers nobody then. */
function faultOf({ stage, deadlineMs, lastBeatMs }: WorkerView, nowMs: number): string | undefined {
  if (deadlineMs <= nowMs) return stage === 'booting' ? 'did not become ready in time' : 'drain time is over'
  if (stage !== 'booting' && lastBeatMs + SILENCE_MS <= nowMs) return `silent for ${SILENCE_MS / 1000} s`
  return undefined
}

function nextDeadlineMs(worker: WorkerView, wanted: Wanted, nowMs: number): number {
  const silentMs = worker.stage === 'booting' ? Infinity : worker.lastBeatMs + SILENCE_MS
  const wornMs = recycleAtMs(worker, wanted.recycle)
  return Math.min(worker.deadlineMs, silentMs, wornMs > nowMs ? wornMs : Infinity)
}

interface SlotsPlan {
  readonly actions: readonly Action[]
  readonly wakeAtMs: number
  /** A slot keeps the worker that it has, because those that drain are too many. */
  readonly isHeld: boolean
}

/**
 * Fills empty slots and replaces workers that are not fresh. One fork at a time, since each blocks the supervisor:
 * what it has not heard meanwhile comes before the next. One fresh worker of a roll boots at a time, and the next
 * waits until the predecessor of the one before accepts nothing more.
 */
function planSlots(
  wanted: Wanted,
  alive: readonly WorkerView[],
  { isCrowded, mayFork }: { readonly isCrowded: boolean; readonly mayFork: boolean },
  backoffs: ReadonlyMap<number, Backoff>,
  nowMs: number,
): SlotsPlan {
  const actions: Action[] = []
  let wakeAtMs = Infinity
  let isHeld = false
  let forks = mayFork
  let rollIsBusy = alive.some(
    ({ stage, accepting }) => stage === 'booting' || (stage === 'draining' && accepting),
  )
  for (let slot = 1; slot <= wanted.workers; slot++) {
    const mine = alive.filter((worker) => worker.slot === slot && worker.stage !== 'draining')
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
    if (isRoll && isCrowded) isHeld = true
    if (!forks || (isRoll && (rollIsBusy || isCrowded))) continue
    const { retryAtMs } = backoffs.get(slot) ?? NO_BACKOFF
    if (retryAtMs > nowMs) {
      wakeAtMs = Math.min(wakeAtMs, retryAtMs)
      continue
    }
    actions.push({ type: 'fork', slot, generation: wanted.generation })
    forks = false
  }
  return { actions, wakeAtMs, isHeld }
}

/** It may stay as it is. */
function isFresh(worker: WorkerView, wanted: Wanted, nowMs: number): boolean {
  return recycleAtMs(worker, wanted.recycle) > nowMs && isCurrent(worker.generation, wanted)
}

function finiteOrUndefined(ms: number): number | undefined {
  return ms === Infinity ? undefined : ms
}
