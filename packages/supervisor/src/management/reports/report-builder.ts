// Builds the reports on the state of the supervisor, for the admin socket, the health port and the metrics. Reads
// that state and never changes it.
import type { Clock } from '@reverse-proxy/shared/clock'
import { isoTime } from '@reverse-proxy/shared/clock'
import type { ReloadOutcome } from '../../reload.ts'
import { reportIssue } from '../../config/report.ts'
import { toWorkerConfig } from '../../config/worker-config.ts'
import { siteCount } from '../../config/counts.ts'
import { version } from '../../os/version.ts'
import type { CoreView } from '../../supervisor-options.ts'
import type { WorkerHandle } from '../../workers/handle.ts'
import { reportCertificates } from './certificate-report.ts'
import type {
  BansReport,
  CertificateReport,
  CertsReport,
  ConfigReport,
  ReloadOutcomeReport,
  StatusReport,
  WorkerReport,
  WorkersReport,
} from './reports.ts'

export interface ReportSources extends Pick<
  CoreView,
  'config' | 'phase' | 'fleet' | 'registry' | 'reloads' | 'bans'
> {
  readonly pid: number
  readonly clock: Clock
}

/** A reply is one line, which programs read whole. */
const LISTED_BANS = 10_000

export class ReportBuilder {
  readonly #sources: ReportSources
  readonly #startedAtMs: number

  constructor(sources: ReportSources) {
    this.#sources = sources
    this.#startedAtMs = sources.clock.nowMs()
  }

  status(): StatusReport {
    const { pid, fleet, reloads, phase, config } = this.#sources
    const { listeners } = config()
    const certificates = this.#certificates()
    const expired = certificates.filter(({ state }) => state === 'expired').length
    const pending = certificates.filter(({ state }) => state === 'pending').length
    const { outcome } = reloads
    return {
      version,
      pid,
      phase: phase(),
      ready: phase() === 'serving' && fleet.isReady && pending + expired === 0,
      started_at: isoTime(this.#startedAtMs),
      workers: {
        wanted: fleet.size,
        ready: fleet.workers.filter(({ stage }) => stage === 'ready').length,
        draining: fleet.workers.filter(({ stage }) => stage === 'draining').length,
      },
      generation: fleet.generation,
      roll: fleet.roll ?? null,
      listeners: listeners.length,
      sites: siteCount({ listeners }),
      certificates: {
        total: certificates.length,
        pending,
        expired,
        alarms: certificates.filter(({ alarm }) => alarm !== null).length,
        first_expiry: firstOf(certificates.map(({ not_after: notAfter }) => notAfter)),
      },
      last_reload: outcome === undefined ? null : reportOutcome(outcome),
    }
  }

  /** At least one worker serves; the result of /health. */
  isAlive(): boolean {
    const { phase, fleet } = this.#sources
    return phase() === 'serving' && fleet.workers.some(({ stage }) => stage === 'ready')
  }

  workers(): WorkersReport {
    const { fleet } = this.#sources
    return {
      workers: fleet.workers.map((handle) => this.#reportWorker(handle)),
      unexpected_exits: fleet.unexpectedExits,
    }
  }

  certs(): CertsReport {
    return { certificates: this.#certificates() }
  }

  config(): ConfigReport {
    return { config: { ...toWorkerConfig(this.#sources.config()), upstreamRoots: [] } }
  }

  /** @param address undefined: of all */
  bans(address: string | undefined): BansReport {
    const { bans, clock } = this.#sources
    const nowMs = clock.nowMs()
    const ban = address === undefined ? undefined : bans.of(address)
    const all = address === undefined ? [...bans.list().take(LISTED_BANS)] : ban === undefined ? [] : [ban]
    const listed = all.toSorted((a, b) => a.leftMs - b.leftMs)
    return {
      bans: listed.map(({ client, leftMs }) => ({ address: client, until: isoTime(nowMs + leftMs) })),
      total: address === undefined ? bans.size : listed.length,
    }
  }

  #certificates(): CertificateReport[] {
    const { registry, fleet, clock } = this.#sources
    const nowMs = clock.nowMs()
    return registry.statuses.flatMap((status) => reportCertificates(status, fleet.workers, nowMs))
  }

  #reportWorker({ slot, pid, generation, stage, bornAtMs, load }: WorkerHandle): WorkerReport {
    const { clock, fleet } = this.#sources
    const ageMs = fleet.clock.nowMs() - bornAtMs
    return {
      worker: slot,
      pid,
      generation,
      stage,
      started_at: isoTime(clock.nowMs() - ageMs),
      connections: load?.connections ?? null,
      requests: load?.requests ?? null,
      rss_bytes: load?.rssBytes ?? null,
      event_loop_lag_ms: load?.eventLoopLagMs ?? null,
    }
  }
}

function reportOutcome({ atMs, failure }: ReloadOutcome): ReloadOutcomeReport {
  return {
    at: isoTime(atMs),
    status: failure === undefined ? 'ok' : 'error',
    message: failure?.message ?? null,
    errors: failure?.errors.map(reportIssue) ?? [],
  }
}

/** The earliest of several ISO 8601 times. */
function firstOf(times: readonly (string | null)[]): string | null {
  const known = times.filter((time) => time !== null)
  return known.toSorted()[0] ?? null
}
