// Renders the replies of the admin socket for people; `--json` prints the reply itself. Pure.
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '@reverse-proxy/shared/time-units'
import { renderConfigIssues } from '../../config/report.ts'
import { plural } from '@reverse-proxy/shared/plural'
import type { RollState } from '../../workers/fleet.ts'
import type { AdminCommand, AdminReports } from './protocol.ts'
import type {
  BanReport,
  BansReport,
  CertificateReport,
  CertsReport,
  ReloadOutcomeReport,
  ReloadReport,
  RenewReport,
  StatusReport,
  WorkerReport,
  WorkersReport,
} from '../reports/reports.ts'
import { printable, renderFields, renderTable } from '../reports/table.ts'

const ROLLS: Readonly<Record<RollState, string>> = {
  replacing: 'being replaced',
  waiting: 'to be replaced when fewer are draining',
}

const RENDERERS: {
  readonly [Command in AdminCommand]: (report: AdminReports[Command], nowMs: number) => string
} = {
  status: renderStatus,
  workers: renderWorkers,
  certs: renderCertificates,
  config: ({ config }) => `${JSON.stringify(config, undefined, 2)}\n`,
  bans: renderBans,
  unban: () => 'the ban is lifted\n',
  reload: (report) => renderReload('configuration applied', report),
  restart: (report) => renderReload('restarted', report),
  renew: renderRenewed,
  'reopen-logs': () => 'log files reopened\n',
}

export function renderReport<Command extends AdminCommand>(
  command: Command,
  report: AdminReports[Command],
  nowMs: number,
): string {
  return RENDERERS[command](report, nowMs)
}

function renderStatus(report: StatusReport, nowMs: number): string {
  const { workers, certificates, last_reload: reload } = report
  const draining = workers.draining === 0 ? '' : `, ${workers.draining} draining`
  const roll = report.roll === null ? '' : `; ${ROLLS[report.roll]}`
  const fields = renderFields([
    ['state', report.ready ? 'ready' : `not ready (${report.phase})`],
    ['version', report.version],
    ['pid', String(report.pid)],
    ['up for', age(report.started_at, nowMs)],
    ['workers', `${workers.ready} of ${workers.wanted} ready${draining}${roll}`],
    ['generation', String(report.generation)],
    ['serving', `${plural(report.sites, 'site')} on ${plural(report.listeners, 'listener')}`],
    ['certificates', describeCertificates(certificates, nowMs)],
    ['last reload', reload === null ? 'never' : describeReload(reload, nowMs)],
  ])
  return reload === null ? fields : fields + renderConfigIssues(reload.errors, { color: false })
}

function describeReload({ status, at, message }: ReloadOutcomeReport, nowMs: number): string {
  const why = message === null ? '' : `: ${message}`
  return `${status}, ${age(at, nowMs)} ago${why}`
}

function describeCertificates(summary: StatusReport['certificates'], nowMs: number): string {
  const { total, pending, expired, alarms, first_expiry: first } = summary
  const parts = [String(total)]
  if (expired > 0) parts.push(`${expired} EXPIRED`)
  else if (first !== null) parts.push(`the first expires in ${until(first, nowMs)}`)
  if (pending > 0) parts.push(`${pending} PENDING`)
  if (alarms > 0) parts.push(`${alarms} NOT BEING RENEWED`)
  return parts.join(', ')
}

function renderWorkers({ workers, unexpected_exits: exits }: WorkersReport, nowMs: number): string {
  const table = renderTable<WorkerReport>(
    [
      { title: 'WORKER', align: 'right', text: ({ worker }) => String(worker) },
      { title: 'PID', align: 'right', text: ({ pid }) => String(pid) },
      { title: 'GENERATION', align: 'right', text: ({ generation }) => String(generation) },
      { title: 'STATE', text: ({ stage }) => stage },
      { title: 'UP', align: 'right', text: (row) => age(row.started_at, nowMs) },
      { title: 'CONNECTIONS', align: 'right', text: ({ connections }) => orDash(connections) },
      { title: 'REQUESTS', align: 'right', text: ({ requests }) => orDash(requests) },
      {
        title: 'MEMORY',
        align: 'right',
        text: ({ rss_bytes: bytes }) => (bytes === null ? '-' : mebibytes(bytes)),
      },
    ],
    workers,
  )
  return exits === 0
    ? table
    : `${table}\n${plural(exits, 'unexpected exit')} since the start; see WORKER_EXIT in the log\n`
}

function renderCertificates({ certificates }: CertsReport, nowMs: number): string {
  if (certificates.length === 0) return 'no certificates\n'
  const table = renderTable<CertificateReport>(
    [
      { title: 'LISTENER', text: ({ listener }) => listener },
      { title: 'MODE', text: ({ mode }) => mode },
      { title: 'STATE', text: describeState },
      {
        title: 'LEFT',
        align: 'right',
        text: (row) => (row.not_after === null ? '-' : until(row.not_after, nowMs)),
      },
      { title: 'RENEWAL IN', align: 'right', text: (row) => describeRenewal(row, nowMs) },
      { title: 'ISSUER', text: ({ issuer }) => issuer ?? '-' },
      { title: 'NAMES', text: ({ names }) => names.join(' ') || '-' },
    ],
    certificates,
  )
  const troubles = certificates.flatMap((certificate) => describeTroubles(certificate, nowMs))
  return troubles.length === 0
    ? table
    : `${table}\n${troubles.map((line) => `${printable(line)}\n`).join('')}`
}

function renderBans({ bans, total }: BansReport, nowMs: number): string {
  if (total === 0) return 'no bans\n'
  const table = renderTable<BanReport>(
    [
      { title: 'ADDRESS', text: ({ address }) => address },
      { title: 'LEFT', align: 'right', text: (row) => until(row.until, nowMs) },
      { title: 'UNTIL', text: (row) => row.until },
    ],
    bans,
  )
  const more = total - bans.length
  return more <= 0 ? table : `${table}\nand ${more} more\n`
}

function describeState({ state }: CertificateReport): string {
  return state === 'expired' ? 'EXPIRED' : state
}

function describeRenewal({ next_attempt_at: at }: CertificateReport, nowMs: number): string {
  if (at === null) return '-'
  return Date.parse(at) <= nowMs ? 'now' : until(at, nowMs)
}

function describeTroubles(certificate: CertificateReport, nowMs: number): string[] {
  const { listener, missing, failure, serial, workers, alarm, unsaved } = certificate
  const lines: string[] = []
  if (alarm !== null)
    lines.push(`${listener}: NOT BEING RENEWED: ${alarm}; restart the proxy, and report this`)
  const others = workers.filter(({ serials }) => serial !== null && !serials.includes(serial))
  for (const { worker } of others) lines.push(`${listener}: worker ${worker} does not serve ${serial}`)
  if (unsaved !== null) {
    const again = until(unsaved.next_try_at, nowMs)
    lines.push(`${listener}: issued but not saved: ${unsaved.reason}; tried again in ${again}`)
  }
  if (missing.length > 0) lines.push(`${listener}: not in the certificate: ${missing.join(' ')}`)
  if (failure !== null) {
    const name = failure.names.length === 0 ? '' : `${failure.names.join(' ')}: `
    const next =
      Date.parse(failure.next_attempt_at) <= nowMs ? 'now' : `in ${until(failure.next_attempt_at, nowMs)}`
    lines.push(
      `${listener}: failed ${age(failure.at, nowMs)} ago: ${name}${failure.reason}; next attempt ${next}`,
    )
  }
  return lines
}

function renderReload(done: string, { sites, workers, certificates, warnings }: ReloadReport): string {
  const pending = certificates === 'pending' ? ', certificates are being ordered' : ''
  const notes = warnings.map((warning) => `warning: ${printable(warning)}\n`)
  return `${done}: ${plural(sites, 'site')}, workers ${workers}${pending}\n${notes.join('')}`
}

function renderRenewed({ renewed }: RenewReport, nowMs: number): string {
  const lines = renewed.map(({ listener, mode, serials, not_after: notAfter, unsaved }) => {
    const done = mode === 'manual' ? 'files read again' : 'renewed'
    const but = unsaved === null ? '' : printable(`; issued but not saved: ${unsaved}`)
    return `${listener}: ${done}: serial ${serials.join(' ')}, expires in ${until(notAfter, nowMs)}${but}\n`
  })
  return lines.join('')
}

function age(since: string, nowMs: number): string {
  return duration(nowMs - Date.parse(since))
}

function until(time: string, nowMs: number): string {
  return duration(Date.parse(time) - nowMs)
}

/** The two largest units: `89d 23h`, `3h 5m`, `12s`; nothing below a second, nothing negative. */
function duration(ms: number): string {
  if (!(ms >= SECOND_MS)) return '0s'
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)}s`
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)}m ${Math.floor((ms % MINUTE_MS) / SECOND_MS)}s`
  if (ms < DAY_MS) return `${Math.floor(ms / HOUR_MS)}h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)}m`
  return `${Math.floor(ms / DAY_MS)}d ${Math.floor((ms % DAY_MS) / HOUR_MS)}h`
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MiB`
}

function orDash(value: number | null): string {
  return value === null ? '-' : String(value)
}
