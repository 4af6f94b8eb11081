// A life of the virtual world in a thread of its own. In the thread of the tests the test runner follows every
// promise, and a year has many millions: that took four times as long as the life itself.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { CertificateFacts } from '../../src/certificates/crypto/inspect.ts'
import type { Random } from './random.ts'
import { createRandom } from './random.ts'
import type { Outage } from './virtual-world.ts'
import { DAY_MS, HOUR_MS, START_MS, VirtualWorld } from './virtual-world.ts'

/** Part of the time in which the CA is away. */
const DOWN = 0.3

export interface Life {
  readonly seed: number
  readonly durationMs: number
  /** Each certificate has one of these. */
  readonly lifetimesMs: readonly number[]
  readonly longestOutageMs: number
}

export type Lived = Pick<VirtualWorld, 'issued' | 'servedFromMs'>

/** Lives through it with a CA that is often away. Rejects where that fails. */
export async function liveInThread(life: Life): Promise<Lived> {
  const thread = new Worker(new URL(import.meta.url), { workerData: life })
  try {
    const [lived]: Lived[] = await once(thread, 'message')
    if (lived === undefined) throw new Error('the thread has said nothing')
    return lived
  } finally {
    await thread.terminate()
  }
}

async function liveThrough({ seed, durationMs, lifetimesMs, longestOutageMs }: Life): Promise<Lived> {
  const cleanUps: (() => void)[] = []
  const random = createRandom(seed)
  const outages = createOutages(random, durationMs, longestOutageMs)
  const [first = HOUR_MS] = lifetimesMs
  const lifetimeMs = (): number =>
    lifetimesMs.length === 1 ? first : (lifetimesMs[Math.floor(random() * lifetimesMs.length)] ?? first)
  const after = (cleanUp: () => void): void => void cleanUps.push(cleanUp)
  try {
    const world = new VirtualWorld({ after }, { random, lifetimeMs, outages, suggest })
    await live(world, random, durationMs)
    return { issued: world.issued, servedFromMs: world.servedFromMs }
  } finally {
    for (const cleanUp of cleanUps) cleanUp()
  }
}

/** Spans of at most `longestMs`, DOWN of the time in all; none at the very start. */
function createOutages(random: Random, durationMs: number, longestMs: number): Outage[] {
  const outages: Outage[] = []
  for (let fromMs = START_MS + HOUR_MS / 60; fromMs < START_MS + durationMs;) {
    const toMs = fromMs + longestMs * random()
    outages.push({ fromMs, toMs })
    fromMs = toMs + (toMs - fromMs) * ((1 - DOWN) / DOWN)
  }
  return outages
}

/** As Boulder for most; for others a window that is late, or beyond the expiry, or none that makes sense. */
function suggest({ serial, notBeforeMs, notAfterMs }: CertificateFacts): unknown {
  const lifetimeMs = notAfterMs - notBeforeMs
  const windowAt = (point: number): object => {
    const middleMs = notBeforeMs + lifetimeMs * point
    return windowOf(middleMs - lifetimeMs / 100, middleMs + lifetimeMs / 100)
  }
  switch (serial.slice(-1)) {
    case '0':
      return windowAt(0.9)
    case '1':
      return windowAt(1.5)
    case '2':
      return windowOf(notAfterMs, notBeforeMs)
    case '3':
      return '<!doctype html>'
    default:
      return windowAt(lifetimeMs < 10 * DAY_MS ? 1 / 2 : 2 / 3)
  }
}

function windowOf(startMs: number, endMs: number): object {
  return { suggestedWindow: { start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() } }
}

/** From start to end, restarted now and then at any moment. */
async function live(world: VirtualWorld, random: Random, durationMs: number): Promise<void> {
  for (const endMs = START_MS + durationMs; world.clock.trueMs < endMs;) {
    await world.live(Math.min(durationMs * 0.2 * random(), endMs - world.clock.trueMs))
  }
}

// oxlint-disable-next-line typescript/no-unsafe-type-assertion, unicorn/require-post-message-target-origin -- what liveInThread has passed; a thread has no origin
if (!isMainThread) parentPort?.postMessage(await liveThrough(workerData as Life))
