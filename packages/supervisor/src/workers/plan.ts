// Decides what to do about the workers now. Pure: (wanted, present, time) -> actions.
// Every time comes from workers/watch.ts, which does not count time in which the supervisor could not listen.
// A slot is the place of a worker (1..wanted). A rolling restart begins a new generation and drains the older ones;
// their number is limited, so that several restarts in a row do not fill the machine.
import type { RecycleLimits } from '@reverse-proxy/shared/config/config'
import { NO_BACKOFF, recycleAtMs, type Backoff, type WorkerView } from './worker-view.ts'

/** Reason for killing a worker that has bound nothing and is no longer needed. */
export const NOT_WANTED = 'not wanted any more'

/** Reason for cutting a worker that drains. */
const TOO_MANY_GENERATIONS = 'too many generations are draining'

export interface Wanted extends WantedGeneration {
  readonly workers: number
  readonly recycle: RecycleLimits
  /** False while stopping: nothing is forked, everything is drained. */
  readonly running: boolean
  /** True while the reason of a failed start is being determined: another fork would fail as well. */
  readonly forksSuspended: boolean
  /** How many workers may boot at a time. */
  readonly bootsAtOnce: number
}

export type Action =
  | { readonly type: 'fork'; readonly slot: number; readonly generation: number }
  | { readonly type: 'drain'; readonly pid: number }
  /** Drain with no time left: close connections properly, then exit. */
  | { readonly type: 'cut'; readonly pid: number; readonly reason: string }
  /** SIGKILL: it does not respond, or has no connections to lose. */
  | { readonly type: 'kill'; readonly pid: number; readonly reason: string }

export interface Plan {
  readonly actions: readonly Action[]
  /** When to plan again at the latest; undefined: only after another event. */
  readonly wakeAtMs: number | undefined
  /** Pids of the workers that must exit before a roll continues. */
  readonly awaited: readonly number[]
}

/** A worker without a heartbeat for this long is killed. */
export const SILENCE_MS = 10_000

export function planWorkers(
  wanted: Wanted,
  workers: readonly WorkerView[],
  backoffs: ReadonlyMap<number, Backoff>,
  nowMs: number,
): Plan {
  const actions: Action[] = []
  const alive = workers.filter((worker) => !worker.killed)
  const excess = wanted.running ? excessGenerations(wanted, alive) : []
  const cutAtMs = rollDeadlineMs(wanted)
  let wakeAtMs = Infinity

  for (const worker of alive) {
    const { pid } = worker
    const reason = killReason(worker, nowMs)
    if (reason !== undefined) {
      actions.push({ type: 'kill', pid, reason })
      continue
    }
    wakeAtMs = Math.min(wakeAtMs, nextDeadlineMs(worker, wanted, nowMs))
    if (worker.wasCut || !excess.includes(worker)) continue
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
  // A killed worker uses the machine until it has exited, so it counts.
  const booting = workers.filter(({ stage }) => stage === 'booting').length
  const mayFork = !wanted.forksSuspended && booting < wanted.bootsAtOnce
  const slots = planSlots(wanted, alive, { hasExcess: excess.length > 0, mayFork }, backoffs, nowMs)
  return {
    actions: [...actions, ...slots.actions],
    wakeAtMs: finiteOrUndefined(Math.min(wakeAtMs, slots.wakeAtMs)),
    awaited: slots.isBlocked ? excess.map(({ pid }) => pid) : [],
  }
}

/** The reason why a worker must be killed, if any. */
function killReason({ stage, deadlineMs, lastHeartbeatMs }: WorkerView, nowMs: number): string | undefined {
  if (deadlineMs <= nowMs) return stage === 'booting' ? 'did not become ready in time' : 'drain time is over'
  if (stage !== 'booting' && lastHeartbeatMs + SILENCE_MS <= nowMs) return `silent for ${SILENCE_MS / 1000} s`
  return undefined
}

function nextDeadlineMs(worker: WorkerView, wanted: Wanted, nowMs: number): number {
  const silentAtMs = worker.stage === 'booting' ? Infinity : worker.lastHeartbeatMs + SILENCE_MS
  const recycleMs = recycleAtMs(worker, wanted.recycle)
  return Math.min(worker.deadlineMs, silentAtMs, recycleMs > nowMs ? recycleMs : Infinity)
}

interface SlotsPlan {
  readonly actions: readonly Action[]
  readonly wakeAtMs: number
  /** A slot keeps its old worker because too many generations are draining. */
  readonly isBlocked: boolean
}

/**
 * Fills empty slots and replaces workers that are not fresh. Plans one fork at a time: each fork blocks the supervisor,
 * which then reads its pending messages before the next. During a roll one fresh worker boots at a time, and the next
 * waits until the worker that the previous one replaces accepts no more connections.
 */
function planSlots(
  wanted: Wanted,
  alive: readonly WorkerView[],
  { hasExcess, mayFork }: { readonly hasExcess: boolean; readonly mayFork: boolean },
  backoffs: ReadonlyMap<number, Backoff>,
  nowMs: number,
): SlotsPlan {
  const actions: Action[] = []
  let wakeAtMs = Infinity
  let isBlocked = false
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
    if (isRoll && hasExcess) isBlocked = true
    if (!forks || (isRoll && (rollIsBusy || hasExcess))) continue
    const { retryAtMs } = backoffs.get(slot) ?? NO_BACKOFF
    if (retryAtMs > nowMs) {
      wakeAtMs = Math.min(wakeAtMs, retryAtMs)
      continue
    }
    actions.push({ type: 'fork', slot, generation: wanted.generation })
    forks = false
  }
  return { actions, wakeAtMs, isBlocked }
}

/** The worker need not be replaced. */
function isFresh(worker: WorkerView, wanted: Wanted, nowMs: number): boolean {
  return recycleAtMs(worker, wanted.recycle) > nowMs && isCurrent(worker.generation, wanted)
}

function finiteOrUndefined(ms: number): number | undefined {
  return ms === Infinity ? undefined : ms
}

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
function excessGenerations<Member extends GenerationMember>(
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
