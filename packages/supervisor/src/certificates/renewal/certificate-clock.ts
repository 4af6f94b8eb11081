// The time by which certificates are judged: the machine's, unless a CA's answers show that to be far off.
// Under a clock that is a year fast a good certificate seems to have expired, and each new one too: without
// this the names would be ordered again and again. A correction ends as soon as somebody sets the clock.
// Waiting times are counted by another one, which neither a CA's answers nor whoever sets the clock can move.
import { HOUR_MS, MINUTE_MS } from '@reverse-proxy/shared/time-units'
import type { Validity } from '../crypto/inspect.ts'
import { marginAtMs } from './schedule.ts'
import type { WaitableClock } from '../../os/waitable-clock.ts'

export interface CertificateClockOptions {
  /** The machine's. */
  readonly wall: WaitableClock
  /** Validity of the certificate in service. */
  readonly validity: () => Validity | undefined
  /** Called when a correction begins; `aheadMs` is negative where the machine's clock is slow. */
  readonly onWrong: (aheadMs: number) => void
}

/** A CA's answer can come out of a cache. */
const LEAST_TOLERABLE_AHEAD_MS = HOUR_MS
/** By a slower clock a new certificate is not valid yet; CAs date them back by an hour or less. */
const TOLERABLE_BEHIND_MS = HOUR_MS
/** Difference between wall clock and timers beyond which the clock was set or the machine slept. */
const JUMP_MS = MINUTE_MS

interface Correction {
  readonly aheadMs: number
  /** Wall clock minus timers. */
  readonly epochMs: number
}

export class CertificateClock implements WaitableClock {
  readonly #options: CertificateClockOptions
  /** Wall clock minus timers, when we began. */
  readonly #epochMs: number
  #correction: Correction | undefined

  constructor(options: CertificateClockOptions) {
    const { wall } = options
    this.#options = options
    this.#epochMs = wall.nowMs() - wall.timerMs()
  }

  nowMs(): number {
    const wallMs = this.#options.wall.nowMs()
    return wallMs - (this.#correctionAt(wallMs)?.aheadMs ?? 0)
  }

  /** The machine's clock is known to be wrong. */
  isCorrected(): boolean {
    return this.#correctionAt(this.#options.wall.nowMs()) !== undefined
  }

  /** The wall clock as if nobody had set it since the start. Waits are measured by it. */
  monotonicMs(): number {
    return Math.round(this.#epochMs + this.timerMs())
  }

  /** When a steady time is, by this clock. */
  timeOf(monotonicMs: number): number {
    return monotonicMs + this.#offsetOf(this.nowMs())
  }

  /** Offset from monotonic to wall-clock time, for records and people (ms). */
  get wallOffsetMs(): number {
    return this.#offsetOf(this.#options.wall.nowMs())
  }

  heard(dateMs: number): void {
    const { wall, validity, onWrong } = this.#options
    const wallMs = wall.nowMs()
    const aheadMs = wallMs - dateMs
    const wasCorrected = this.#correctionAt(wallMs) !== undefined
    const isWrong = aheadMs > tolerableAheadMs(validity()) || aheadMs < -TOLERABLE_BEHIND_MS
    this.#correction = isWrong ? { aheadMs, epochMs: wallMs - wall.timerMs() } : undefined
    if (isWrong && !wasCorrected) onWrong(aheadMs)
  }

  timerMs(): number {
    return this.#options.wall.timerMs()
  }

  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    await this.#options.wall.sleep(delayMs, signal)
  }

  /** None for as little as timers and clocks differ by themselves. */
  #offsetOf(timeMs: number): number {
    const offsetMs = timeMs - this.monotonicMs()
    return Math.abs(offsetMs) > JUMP_MS ? offsetMs : 0
  }

  #correctionAt(wallMs: number): Correction | undefined {
    const correction = this.#correction
    if (correction === undefined) return undefined
    const jumpMs = wallMs - this.timerMs() - correction.epochMs
    if (Math.abs(jumpMs) > JUMP_MS) this.#correction = undefined
    return this.#correction
  }
}

/** A new certificate, which lives as long as this one, must not be about to expire by our clock: it would be renewed again. */
function tolerableAheadMs(validity: Validity | undefined): number {
  if (validity === undefined) return LEAST_TOLERABLE_AHEAD_MS
  return Math.max(LEAST_TOLERABLE_AHEAD_MS, marginAtMs(validity) - validity.notBeforeMs)
}
