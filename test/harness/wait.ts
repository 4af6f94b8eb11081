// Waiting for a state by looking at it, with a deadline; the only place in the tests that sleeps.
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 20

type Maybe<T> = T | false | null | undefined

/**
 * Polls until `look` returns something other than false, null or undefined, and returns that.
 * Throws with `what` (and the last error of `look`) when `timeoutMs` has passed.
 */
export async function waitFor<T>(
  what: string,
  look: () => Maybe<T> | Promise<Maybe<T>>,
  timeoutMs = 60_000,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs
  let cause: unknown
  for (;;) {
    try {
      const seen = await look()
      if (seen !== false && seen !== null && seen !== undefined) return seen
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`, { cause })
    await sleep(POLL_MS)
  }
}

/**
 * Looks at `measure` every few milliseconds until it has stayed the same for `quietMs`, and returns it. Counts looks
 * rather than time: while this process stood still, nothing it measures could change.
 */
export async function waitUntilStill(what: string, measure: () => number, quietMs = 300): Promise<number> {
  let last = measure()
  let unchanged = 0
  await waitFor(`${what} to change no more`, () => {
    const now = measure()
    unchanged = now === last ? unchanged + 1 : 0
    last = now
    return unchanged * POLL_MS >= quietMs
  })
  return last
}
