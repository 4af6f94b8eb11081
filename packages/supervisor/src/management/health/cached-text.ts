// A text that is made anew only when the last one has become too old: however often it is asked for, and however
// many have not read theirs yet, there is one making of it in that time, and one copy.
import type { Clock } from '@reverse-proxy/shared/clock'

/** The result of `make`, at most `maxAgeMs` old. The bytes are shared: do not write to them. */
export function cachedText(make: () => string, maxAgeMs: number, clock: Clock): () => Buffer {
  let bytes: Buffer | undefined
  let madeAtMs = 0
  return () => {
    const nowMs = clock.nowMs()
    if (bytes === undefined || nowMs - madeAtMs >= maxAgeMs) {
      bytes = Buffer.from(make())
      madeAtMs = nowMs
    }
    return bytes
  }
}
