// Maps admin commands: a report is read at once; any other command becomes an intent of the supervisor, whose result
// is the reply.
import { reportIssue } from '../../config/report.ts'
import type { Intent, Reply } from '../../intents.ts'
import type { Outcome, RenewResult } from '../../operations.ts'
import type { ReloadKind, ReloadResult } from '../../reload.ts'
import { CommandError, type AdminHandlers } from './protocol.ts'
import { reportRenewed } from '../reports/certificate-report.ts'
import type { ReportBuilder } from '../reports/report-builder.ts'
import type { ReloadReport } from '../reports/reports.ts'

export interface AdminHandlerOptions {
  readonly reports: ReportBuilder
  readonly intents: { push(intent: Intent): void }
}

export function createAdminHandlers({ reports, intents }: AdminHandlerOptions): AdminHandlers {
  const ask = async <Result>(intentFor: (reply: Reply<Result>) => Intent): Promise<Result> =>
    await new Promise<Result>((resolve) => intents.push(intentFor(resolve)))

  const reload = async (kind: ReloadKind): Promise<ReloadReport> => {
    const result = await ask<ReloadResult>((reply) => ({ type: 'reload', kind, reply }))
    if (result.status === 'error') throw new CommandError(result.message, result.errors.map(reportIssue))
    const { status: _, ...report } = result
    return report
  }

  return {
    status: async () => reports.status(),
    workers: async () => reports.workers(),
    certs: async () => reports.certs(),
    reload: async () => await reload('reload'),
    restart: async () => await reload('restart'),
    renew: async ([name = '']) => {
      const result = await ask<RenewResult>((reply) => ({ type: 'renew', name, reply }))
      if (result.status === 'error') throw new CommandError(result.message)
      return { renewed: result.renewed.map(reportRenewed) }
    },
    'reopen-logs': async () => {
      const outcome = await ask<Outcome>((reply) => ({ type: 'reopen-logs', reply }))
      if (outcome.status === 'error') throw new CommandError(outcome.message)
      return {}
    },
  }
}
