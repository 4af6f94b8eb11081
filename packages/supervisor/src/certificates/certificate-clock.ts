// The time by which certificates are judged: the machine's, unless a CA's answers show that to be far off.
// Under a clock that is a year fast a good certificate seems to have expired, and each new one too: without
// this the names would be ordered again and again. A correction ends as soon as somebody sets the clock.
import type { Clock } from '@reverse-proxy/shared/clock'
import type { Validity } from './renewal.ts'
import type { WaitableClock } from './sleep-until.ts'

/** A clock that is told by a CA what time it is there. */
export interface ListeningClock extends Clock {
  /** `dateMs`: Unix time in the CA's answer, just received. */
  heard(dateMs: number): void
}

export interface CertificateClockOptions {
  /** The machine's. */
  readonly wall: WaitableClock
  /** Of the certificate in service. */
  readonly validity: () => Validity | undefined
  /** Called when a correction begins; `aheadMs` is negative where the machine's clock is slow. */
  readonly onWrong: (aheadMs: number) => void
}

/** A CA's answer can come out of a cache. */
const LEAST_TOLERABLE_AHEAD_MS = 60 * 60 * 1000
/** By a slower clock a new certificate is not valid yet; CAs date them back by an hour or less. */
const TOLERABLE_BEHIND_MS = 60 * 60 * 1000
/** Of wall clock against timers: more is somebody setting the clock, or a machine that was asleep. */
const JUMP_MS = 60_000

interface Correction {
  readonly aheadMs: number
  /** Wall clock minus timers. */
  readonly epochMs: number
}

export class CertificateClock implements WaitableClock, ListeningClock {
  readonly #options: CertificateClockOptions
  #correction: Correction | undefined

  constructor(options: CertificateClockOptions) {
    this.#options = options
  }

  nowMs(): number {
    const wallMs = this.#options.wall.nowMs()
    return wallMs - (this.#correctionAt(wallMs)?.aheadMs ?? 0)
  }

  /** The machine's clock is known to be wrong. */
  isCorrected(): boolean {
    return this.#correctionAt(this.#options.wall.nowMs()) !== undefined
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

  #correctionAt(wallMs: number): Correction | undefined {
    const correction = this.#correction
    if (correction === undefined) return undefined
    const jumpMs = wallMs - this.timerMs() - correction.epochMs
    if (Math.abs(jumpMs) > JUMP_MS) this.#correction = undefined
    return this.#correction
  }
}

/** An order goes well as long as the new certificate, which lives as long as this one, has not expired by our clock. */
function tolerableAheadMs(validity: Validity | undefined): number {
  if (validity === undefined) return LEAST_TOLERABLE_AHEAD_MS
  return Math.max(LEAST_TOLERABLE_AHEAD_MS, validity.notAfterMs - validity.notBeforeMs)
}
