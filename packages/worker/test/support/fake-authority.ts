// The authority as a rate limiter sees it, with time and answers in the hands of the test.
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { LeaseRequest, LeasedTokens } from '@reverse-proxy/shared/ipc/messages'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { RateLimiter } from '../../src/ratelimit/limiter.ts'

interface Task {
  readonly atMs: number
  readonly run: () => void
  isOff: boolean
}

export class FakeAuthority {
  readonly limiter: RateLimiter
  readonly sent: LeaseRequest[] = []
  nowMs = 1_000
  silences = 0
  #timers: Task[] = []
  #immediates: (() => void)[] = []

  constructor(limits: RateLimits, workers = 4) {
    this.limiter = new RateLimiter({
      limits,
      workers,
      send: (request) => {
        this.sent.push(request)
        // The rest is up to the test.
        if (request.asks.length === 0) this.#immediates.push(() => this.grant())
      },
      onAuthorityTimeout: () => void this.silences++,
      timers: {
        nowMs: () => this.nowMs,
        soon: (run) => void this.#immediates.push(run),
        after: (delayMs, run) => {
          const task: Task = { atMs: this.nowMs + delayMs, run, isOff: false }
          this.#timers.push(task)
          return () => void (task.isOff = true)
        },
      },
    })
  }

  /** One turn of the event loop: what was put off to its end is done. */
  turn(): void {
    const due = this.#immediates
    this.#immediates = []
    for (const run of due) run()
  }

  /** Time passes; timers run when they are due, each followed by a turn. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms
    for (let next = this.#takeDue(untilMs); next !== undefined; next = this.#takeDue(untilMs)) {
      this.nowMs = next.atMs
      next.run()
      this.turn()
    }
    this.nowMs = untilMs
    this.turn()
  }

  /** The worker does nothing for so long; afterwards its timers come first, then `arrived`, then the rest. */
  standStill(ms: number, arrived: () => void): void {
    this.nowMs += ms
    for (let next = this.#takeDue(this.nowMs); next !== undefined; next = this.#takeDue(this.nowMs))
      next.run()
    arrived()
    this.turn()
  }

  #takeDue(untilMs: number): Task | undefined {
    const [next] = this.#timers.filter((task) => !task.isOff).toSorted((a, b) => a.atMs - b.atMs)
    if (next === undefined || next.atMs > untilMs) return undefined
    this.#timers = this.#timers.filter((task) => task !== next)
    return next
  }

  /** Answers the request sent last, one grant for each of its asks. */
  grant(...tokens: (number | Partial<LeasedTokens>)[]): void {
    const request = this.sent.at(-1)
    if (request === undefined) throw new Error('nothing has been asked for')
    const grants = request.asks.map(({ key, needed }, index) => {
      const given = tokens[index] ?? needed
      return {
        key,
        tokens: 0,
        waitMs: 0,
        recheckMs: 0,
        ...(typeof given === 'number' ? { tokens: given } : given),
      }
    })
    this.limiter.onGrant({ type: 'lease-grant', seq: request.seq, workers: 4, grants })
  }

  /** Makes a request; the verdict is written into what is returned. */
  request(client: string, scope = ''): { verdict: number | undefined } {
    const outcome: { verdict: number | undefined } = { verdict: undefined }
    const waiter = { onRateDecision: (verdict: number): void => void (outcome.verdict = verdict) }
    outcome.verdict = this.limiter.admit(scope, client)
    if (outcome.verdict === undefined) this.limiter.wait(scope, client, waiter)
    return outcome
  }
}

export function limitsOf(general: RateLimit, site?: RateLimit): RateLimits {
  return { general, sites: new Map(site === undefined ? [] : [['site.example', site]]) }
}
