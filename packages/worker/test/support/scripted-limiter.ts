// A rate limiter whose every word is the test's.
import type { RateWaiter } from '../../src/ratelimit/lease.ts'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'

export class ScriptedLimiter {
  /** What it says to whoever asks next; undefined: who asks has to wait. */
  verdict: number | undefined = ADMITTED
  readonly asked: { readonly scope: string; readonly client: string }[] = []
  readonly waiters: RateWaiter[] = []

  admit(scope: string, client: string): number | undefined {
    this.asked.push({ scope, client })
    return this.verdict
  }

  wait(_scope: string, _client: string, waiter: RateWaiter): void {
    this.waiters.push(waiter)
  }
}
