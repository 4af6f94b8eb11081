// A proxy in which time is simulated: one authority, several workers, and messages that take as long as
// chance says but keep their order. Workers can stand still, die and be replaced; limits can change.
import type { LeaseGrant, LeaseRequest } from '@reverse-proxy/shared/ipc/messages'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { LocalRateLimitAuthority } from '../../src/rate-limit/authority.ts'
import { ADMITTED, RateLimiter } from '../../../worker/src/ratelimit/limiter.ts'
import type { Random } from './random.ts'
import { createRandom } from './random.ts'
import { recordingLog } from './recording-log.ts'

export interface WorldOptions {
  readonly seed: number
  readonly workers: number
  readonly limits: RateLimits
  /** One way; each message takes between half of it and all of it. */
  readonly delayMs: number
  readonly maxBuckets?: number
}

export interface Admission {
  readonly scope: string
  readonly client: string
  readonly atMs: number
}

/** What happens at the same moment happens in the order of an event loop's phases. */
type EventPhase = 'timers' | 'messages' | 'immediates'
const PHASE_ORDER: Readonly<Record<EventPhase, number>> = { timers: 0, messages: 1, immediates: 2 }

interface Event {
  readonly atMs: number
  readonly phase: EventPhase
  readonly seq: number
  readonly run: () => void
}

export class SimulatedWorker {
  readonly number: number
  readonly limiter: RateLimiter
  isDead = false
  stalledUntilMs = 0
  /** When the last message under way arrives, in each direction. */
  lastArrivalMs = { toAuthority: 0, toWorker: 0 }

  constructor(number: number, createLimiter: (worker: SimulatedWorker) => RateLimiter) {
    this.number = number
    this.limiter = createLimiter(this)
  }
}

export class World {
  nowMs = 0
  readonly random: Random
  readonly authority: LocalRateLimitAuthority
  readonly log = recordingLog()
  readonly admissions: Admission[] = []
  readonly workers: SimulatedWorker[] = []
  messages = 0
  requests = 0
  verdicts = 0
  silences = 0
  /** When the last worker so far applied new limits. */
  configuredAtMs = 0
  /** The authority reads nothing before this time. */
  authorityStalledUntilMs = 0
  #limits: RateLimits
  readonly #options: WorldOptions
  readonly #events: Event[] = []
  #seq = 0
  #workerNumber = 0

  constructor(options: WorldOptions) {
    this.#options = options
    this.#limits = options.limits
    this.random = createRandom(options.seed)
    this.authority = new LocalRateLimitAuthority({
      limits: options.limits,
      log: this.log,
      nowMs: () => this.nowMs,
      workers: () => options.workers,
      seed: options.seed,
      ...(options.maxBuckets === undefined ? {} : { maxBuckets: options.maxBuckets }),
    })
    for (let i = 0; i < options.workers; i++) this.workers.push(this.#createWorker())
  }

  run(untilMs: number): void {
    for (let event = this.#events[0]; event !== undefined; event = this.#events[0]) {
      if (event.atMs > untilMs) break
      pop(this.#events)
      this.nowMs = event.atMs
      event.run()
    }
    this.nowMs = untilMs
  }

  at(atMs: number, run: () => void, phase: EventPhase = 'messages'): void {
    push(this.#events, { atMs, phase, seq: this.#seq++, run })
  }

  /** `then` hears the verdict, unless the worker dies first. */
  request(
    worker: SimulatedWorker,
    scope: string,
    client: string,
    then: (retryAfterSecs: number) => void = () => {},
  ): void {
    this.#inWorker(worker, this.nowMs, 'messages', () => {
      this.requests++
      let isDecided = false
      const onRateDecision = (retryAfterSecs: number): void => {
        if (isDecided) throw new Error('a second verdict on the same request')
        isDecided = true
        this.verdicts++
        if (retryAfterSecs === ADMITTED) this.admissions.push({ scope, client, atMs: this.nowMs })
        then(retryAfterSecs)
      }
      const verdict = worker.limiter.admit(scope, client)
      if (verdict === undefined) worker.limiter.wait(scope, client, { onRateDecision })
      else onRateDecision(verdict)
    })
  }

  kill(index: number): void {
    const worker = this.workers[index]
    if (worker === undefined) throw new RangeError(`no worker ${index}`)
    worker.isDead = true
    this.at(this.nowMs + this.#delay(), () => this.authority.forgetWorker(worker.number))
    this.workers[index] = this.#createWorker()
  }

  /** It stands still for so long, if it does not already. */
  stall(worker: SimulatedWorker, forMs: number): void {
    if (worker.stalledUntilMs <= this.nowMs) worker.stalledUntilMs = this.nowMs + forMs
  }

  /** The authority at once, each worker when it hears of it. */
  configure(limits: RateLimits): void {
    this.#limits = limits
    this.authority.configure(limits)
    for (const worker of this.workers) {
      this.#inWorker(worker, this.#arrival(worker, 'toWorker'), 'messages', () => {
        worker.limiter.configure(limits)
        this.configuredAtMs = this.nowMs
      })
    }
  }

  #createWorker(): SimulatedWorker {
    return new SimulatedWorker(
      ++this.#workerNumber,
      (worker) =>
        new RateLimiter({
          limits: this.#limits,
          workers: this.#options.workers,
          send: (request) => this.#send(worker, request),
          onAuthorityTimeout: () => void this.silences++,
          timers: {
            nowMs: () => this.nowMs,
            soon: (run) => this.#inWorker(worker, this.nowMs, 'immediates', run),
            after: (delayMs, run) => {
              let isOff = false
              this.#inWorker(worker, this.nowMs + delayMs, 'timers', () => {
                if (!isOff) run()
              })
              return () => void (isOff = true)
            },
          },
        }),
    )
  }

  #send(worker: SimulatedWorker, request: LeaseRequest): void {
    this.messages++
    this.#toAuthority(this.#arrival(worker, 'toAuthority'), () => {
      this.authority.request(worker.number, request, (grant) => this.#answer(worker, grant))
    })
  }

  #answer(worker: SimulatedWorker, grant: LeaseGrant): void {
    this.#inWorker(worker, this.#arrival(worker, 'toWorker'), 'messages', () => worker.limiter.onGrant(grant))
  }

  #toAuthority(atMs: number, run: () => void): void {
    this.at(atMs, () => {
      if (this.nowMs < this.authorityStalledUntilMs) this.#toAuthority(this.authorityStalledUntilMs, run)
      else run()
    })
  }

  #inWorker(worker: SimulatedWorker, atMs: number, phase: EventPhase, run: () => void): void {
    const whenAwake = (): void => {
      if (worker.isDead) return
      if (this.nowMs < worker.stalledUntilMs) this.at(worker.stalledUntilMs, whenAwake, phase)
      else run()
    }
    this.at(atMs, whenAwake, phase)
  }

  #arrival(worker: SimulatedWorker, direction: 'toAuthority' | 'toWorker'): number {
    const atMs = Math.max(worker.lastArrivalMs[direction], this.nowMs + this.#delay())
    worker.lastArrivalMs[direction] = atMs
    return atMs
  }

  #delay(): number {
    return this.#options.delayMs * (0.5 + this.random() / 2)
  }
}

// A binary heap: the earliest event is at 0.

function isBefore(a: Event, b: Event): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs
  if (a.phase !== b.phase) return PHASE_ORDER[a.phase] < PHASE_ORDER[b.phase]
  return a.seq < b.seq
}

function push(heap: Event[], event: Event): void {
  let at = heap.push(event) - 1
  while (at > 0) {
    const parentAt = (at - 1) >> 1
    const parent = heap[parentAt]
    if (parent === undefined || !isBefore(event, parent)) break
    heap[at] = parent
    at = parentAt
  }
  heap[at] = event
}

function pop(heap: Event[]): void {
  const event = heap.pop()
  if (event === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    let childAt = at * 2 + 1
    let child = heap[childAt]
    const right = heap[childAt + 1]
    if (child !== undefined && right !== undefined && isBefore(right, child)) {
      child = right
      childAt++
    }
    if (child === undefined || !isBefore(child, event)) break
    heap[at] = child
    at = childAt
  }
  heap[at] = event
}
