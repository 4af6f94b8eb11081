// Years in seconds: the real manager, cache and lock on a clock that jumps instead of waiting, and a CA that
// is asked and answers as the real one is, without the network in between. Decides nothing about renewals.
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { RenewalResponse, RenewalQuestion } from '../../src/certificates/acme-client/renewal-info.ts'
import type { OrderRequest } from '../../src/certificates/acme-client/order-request.ts'
import { ACME_LIMITS } from '../../src/certificates/acme-client/transport/time-limits.ts'
import { openFileStorage } from '../../src/certificates/storage/file-storage.ts'
import type { StorageOpener } from '../../src/certificates/storage/storage.ts'
import { AcmeManager } from '../../src/certificates/acme/manager.ts'
import { AcmeError } from '../../src/certificates/acme-client/transport/problem.ts'
import type { CertificateAuthority } from '../../src/certificates/acme-client/certificate-authority.ts'
import { CertificateCounts } from '../../src/certificates/status.ts'
import type { CertificateServices } from '../../src/certificates/services.ts'
import type { CertificateFacts } from '../../src/certificates/crypto/inspect.ts'
import { reasonAgainstDates } from '../../src/certificates/crypto/issued-chain.ts'
import type { CertificateJobs } from '../../src/certificates/crypto/jobs.ts'
import type { WaitableClock } from '../../src/os/waitable-clock.ts'
import type { StoredCertificate } from '../../src/certificates/certificate.ts'
import type { Random } from './random.ts'
import { recordingLog } from './recording-log.ts'

export const HOUR_MS = 60 * 60 * 1000
export const DAY_MS = 24 * HOUR_MS
export const START_MS = Date.UTC(2027, 0, 1)
const DIRECTORY_URL = 'https://ca.example/directory'
/** What a CA takes from the first request to the certificate. */
const ORDER_MS = 20_000

/** A span of time in which the CA is not there. */
export interface Outage {
  readonly fromMs: number
  readonly toMs: number
}

export interface Attempt {
  readonly atMs: number
  readonly isIssued: boolean
}

export interface VirtualWorldOptions {
  readonly random: Random
  /** Of the next certificate. */
  readonly lifetimeMs: () => number
  /** When the CA is away: in order, without overlap. */
  readonly outages: readonly Outage[]
  /** What the CA says in an outage, if it is to say something. */
  readonly refusal?: () => AcmeError
  /** The CA's renewal information for a certificate. */
  readonly suggest: (facts: CertificateFacts) => unknown
  /** With which it is told when to ask again; six hours if not given. */
  readonly retryAfterMs?: number
}

/** A test, or whatever else ends. */
export interface CleansUp {
  after(cleanUp: () => void): void
}

/** One listener, its cache directory and its CA. */
export class VirtualWorld {
  readonly clock = new VirtualClock()
  readonly log = recordingLog()
  /** Every certificate that the CA has issued, in that order. */
  readonly issued: StoredCertificate[] = []
  /** Every order that was begun. */
  readonly attempts: Attempt[] = []
  /** When each certificate was handed to the workers. */
  readonly servedFromMs = new Map<string, number>()
  /** When the CA was asked for its renewal information. */
  readonly askedMs: number[] = []

  readonly #options: VirtualWorldOptions
  readonly #settings: AcmeSettings
  readonly #host: CertificateServices & StorageOpener
  readonly #authority: CertificateAuthority

  constructor(t: CleansUp, options: VirtualWorldOptions) {
    this.#options = options
    this.#settings = {
      mode: 'acme',
      domains: ['one.example'],
      cacheDir: join(quickDirectory(t), 'cache'),
      directoryUrl: DIRECTORY_URL,
      contact: 'mailto:admin@one.example',
      challenge: 'tls-alpn-01',
      caFile: undefined,
      eab: undefined,
      keyType: 'ecdsa-p256',
      profile: undefined,
      preferredChain: undefined,
    }
    this.#host = {
      log: this.log,
      counts: new CertificateCounts(),
      clock: this.clock,
      jobs: READING_JOBS,
      publish: async (_listenerId, [certificate]) => {
        if (certificate !== undefined) this.servedFromMs.set(certificate.serial, this.clock.trueMs)
      },
      arm: async () => {},
      openStorage: openFileStorage,
      progress: () => {},
    }
    this.#authority = {
      placeOrder: async (request) => await this.#placeOrder(request),
      resumeRecorded: async () => undefined,
      syncContact: async () => {},
      askRenewalInfo: async (question) => await this.#askRenewalInfo(question),
    }
  }

  /** A start, `durationMs` of service, and a stop. Rejects where the start fails. */
  async live(durationMs: number): Promise<void> {
    const manager = new AcmeManager('listener', this.#settings, this.#host, ACME_LIMITS, this.#authority)
    try {
      await manager.load()
      if (manager.needsOrder()) await manager.acquire(new AbortController().signal)
      const reached = this.clock.stopAt(this.clock.trueMs + durationMs)
      manager.start()
      await reached
    } finally {
      await manager.close()
    }
  }

  async #placeOrder({ host, mayOrder }: OrderRequest): Promise<StoredCertificate> {
    const { random, lifetimeMs } = this.#options
    const atMs = this.clock.trueMs
    try {
      this.#assertUp()
      await mayOrder()
      this.clock.advance(ORDER_MS)
      this.#assertUp()
      this.attempts.push({ atMs, isIssued: true })
    } catch (error) {
      if (error instanceof AcmeError) this.attempts.push({ atMs, isIssued: false })
      throw error
    }
    const facts = {
      names: this.#settings.domains,
      serial: Math.floor(random() * 2 ** 32)
        .toString(16)
        .toUpperCase()
        .padStart(8, '0'),
      issuer: 'Virtual CA',
      notBeforeMs: this.clock.trueMs,
      notAfterMs: this.clock.trueMs + lifetimeMs(),
    }
    const obtainedMs = host.clock.nowMs()
    const certificate = {
      certPem: JSON.stringify(facts),
      keyPem: 'a key',
      facts,
      origin: DIRECTORY_URL,
      obtainedMs,
    }
    this.issued.push(certificate)
    const untimely = reasonAgainstDates(facts, obtainedMs, this.clock.trueMs)
    if (untimely !== undefined) throw new AcmeError(untimely, { reachedCa: true, isIssued: true })
    return certificate
  }

  async #askRenewalInfo({ certPem }: RenewalQuestion): Promise<RenewalResponse> {
    const { suggest, retryAfterMs = 6 * HOUR_MS } = this.#options
    this.askedMs.push(this.clock.trueMs)
    this.#assertUp()
    return { data: suggest(factsOf(certPem)), retryAfterMs }
  }

  #assertUp(): void {
    const { random, outages, refusal } = this.#options
    const nowMs = this.clock.trueMs
    const outage = outages.find(({ fromMs, toMs }) => nowMs >= fromMs && nowMs < toMs)
    if (outage === undefined) return
    // Refused at once, or silent for a while.
    if (random() < 0.5) this.clock.advance(random() * ACME_LIMITS.requestMs)
    if (refusal !== undefined) throw refusal()
    // No answer at all, or a load balancer's with or without Retry-After.
    const reachedCa = random() < 0.5
    const retryAfterMs = reachedCa && random() < 0.5 ? random() * (outage.toMs - nowMs) : undefined
    throw new AcmeError('the CA is away', { reachedCa, retryAfterMs })
  }
}

/** Moves when it is waited by; a test may set it wrong, and suspend the machine. */
class VirtualClock implements WaitableClock {
  /** Added to the true time. */
  skewMs = 0
  /** The longest that a timer was ever set for. */
  longestTimerMs = 0
  #trueMs = START_MS
  #suspendedMs = 0
  readonly #events: { readonly atMs: number; readonly happen: () => void }[] = []
  #stop: { readonly atMs: number; readonly reached: PromiseWithResolvers<void> } | undefined

  get trueMs(): number {
    return this.#trueMs
  }

  nowMs(): number {
    return this.#trueMs + this.skewMs
  }

  timerMs(): number {
    return this.#trueMs - this.#suspendedMs
  }

  advance(byMs: number): void {
    this.#trueMs += byMs
  }

  /** Time passes, and no timer notices. */
  suspend(forMs: number): void {
    this.#trueMs += forMs
    this.#suspendedMs += forMs
  }

  /** Resolves when the (true) time has come; from then on it stands still. */
  async stopAt(atMs: number): Promise<void> {
    const reached = Promise.withResolvers<void>()
    this.#stop = { atMs, reached }
    await reached.promise
  }

  /** Has something happen when the (true) time has come, whatever else goes on then. */
  at(atMs: number, happen: () => void): void {
    this.#events.push({ atMs, happen })
    this.#events.sort((a, b) => a.atMs - b.atMs)
  }

  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    this.longestTimerMs = Math.max(this.longestTimerMs, delayMs)
    const wakeMs = this.timerMs() + delayMs
    for (const leftMs = (): number => wakeMs - this.timerMs(); ;) {
      const [event] = this.#events
      if (event === undefined || event.atMs > this.#trueMs + leftMs()) break
      this.#trueMs = Math.max(this.#trueMs, event.atMs)
      this.#events.shift()
      event.happen()
    }
    const stop = this.#stop
    const wakeTrueMs = wakeMs + this.#suspendedMs
    if (stop === undefined || wakeTrueMs < stop.atMs) {
      this.#trueMs = wakeTrueMs
      return
    }
    this.#trueMs = Math.max(this.#trueMs, stop.atMs)
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
    stop.reached.resolve()
    if (!signal.aborted) await aborted
  }
}

/** Reads what #issue has written instead of a certificate. */
const READING_JOBS: CertificateJobs = {
  run: async (name, input) => {
    if (name !== 'inspectPair' || typeof input !== 'object' || !('certPem' in input)) {
      throw new Error(`${name} is not done here`)
    }
    const { certPem } = input
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the result of that one job
    return { ok: true, certPem, facts: factsOf(certPem) } as never
  },
  close: async () => {},
}

function factsOf(certPem: string): CertificateFacts {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by #placeOrder
  return JSON.parse(certPem) as CertificateFacts
}

/** In memory where there is such a thing: a year of fsync is a long time. */
export function quickDirectory(t: CleansUp): string {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'reverse-proxy-test-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
