// Watches from outside whether the loops that renew certificates still turn: a certificate that nobody
// renews any more looks well until the day it expires. Says so in the log once when it begins and once
// when it ends; repairs nothing.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { LoopView } from '../manager.ts'
import type { RenewalAlarm } from '../status.ts'
import type { WaitableClock } from '../../os/waitable-clock.ts'

const LOOK_INTERVAL_MS = 60_000
/** A loop looks at the clock every 30 s; a busy machine may make it late. */
const LATEST_MS = 5 * 60_000
/** Waiting for a lock, every proof and the signing have limits of their own, that are in sum far below this. */
const LONGEST_TURN_MS = 2 * 60 * 60_000
/** After a suspended machine has woken up, the loops need a moment. */
const LOOKS_BEFORE_ALARM = 2

function judgeLoop(loop: LoopView): RenewalAlarm | undefined {
  if (loop.isDead) return 'dead'
  const { busyForMs } = loop
  if (busyForMs !== undefined) return busyForMs > LONGEST_TURN_MS ? 'stuck' : undefined
  return loop.lateByMs > LATEST_MS ? 'overdue' : undefined
}

export interface RenewalWatchOptions {
  readonly clock: WaitableClock
  readonly log: Log
  /** By listener. */
  readonly loops: () => Iterable<readonly [listenerId: string, loop: LoopView]>
}

export class RenewalWatch {
  readonly #options: RenewalWatchOptions
  readonly #closing = new AbortController()
  /** Looks in a row that found something wrong, by listener. */
  #suspicions = new Map<string, number>()
  #alarms = new Map<string, RenewalAlarm>()
  #work: Promise<void> = Promise.resolve()

  constructor(options: RenewalWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#work = this.#keepLooking()
  }

  alarmOf(listenerId: string): RenewalAlarm | undefined {
    return this.#alarms.get(listenerId)
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#work
  }

  async #keepLooking(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#options.clock.sleep(LOOK_INTERVAL_MS, signal)
      if (!signal.aborted) this.#look()
    }
  }

  #look(): void {
    const { loops, log } = this.#options
    const suspicions = new Map<string, number>()
    const alarms = new Map<string, RenewalAlarm>()
    for (const [listener, loop] of loops()) {
      const finding = judgeLoop(loop)
      if (finding === undefined) continue
      const looks = (this.#suspicions.get(listener) ?? 0) + 1
      suspicions.set(listener, looks)
      if (looks < LOOKS_BEFORE_ALARM) continue
      alarms.set(listener, finding)
      if (!this.#alarms.has(listener))
        log.error('CERT_RENEWAL_ALARM', { listener, status: finding, error: EXPLANATIONS[finding] })
    }
    for (const listener of this.#alarms.keys()) {
      if (!alarms.has(listener)) log.info('CERT_RENEWAL_ALARM', { listener, status: 'over' })
    }
    this.#suspicions = suspicions
    this.#alarms = alarms
  }
}

const EXPLANATIONS: Readonly<Record<RenewalAlarm, string>> = {
  dead: 'nothing renews this certificate any more: restart the proxy, and report this',
  overdue: 'the renewal should have begun: restart the proxy, and report this',
  stuck: 'a renewal has been under way for hours: restart the proxy, and report this',
}
