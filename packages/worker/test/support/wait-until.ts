// Waiting for a state that nobody announces.
import { setTimeout as delay } from 'node:timers/promises'

/** Resolves when `holds` is true; it is asked every `everyMs`. The test's own timeout is the limit. */
export async function waitUntil(what: string, holds: () => boolean, everyMs = 10): Promise<void> {
  const startMs = performance.now()
  while (!holds()) {
    if (performance.now() - startMs > 30_000) throw new Error(`waited in vain for ${what}`)
    await delay(everyMs)
  }
}
