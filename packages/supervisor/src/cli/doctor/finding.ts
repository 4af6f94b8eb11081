// One finding of `doctor`, and how findings are printed: one line each, with a hint below. Pure.
import { plural } from '@reverse-proxy/shared/plural'
import { printable } from '../../management/reports/table.ts'

/** warn: often a mistake, but may be intended. fail: the start or the order will fail. */
type Status = 'ok' | 'warn' | 'fail'

export interface Finding {
  readonly check: string
  /** A name, an address and port, a directory, ... */
  readonly subject: string
  readonly status: Status
  readonly message: string
  /** Advice for the operator; set unless the status is `ok`. */
  readonly hint?: string
}

/** Builds the findings of one check about one subject. */
export interface FindingBuilder {
  ok(message: string): Finding
  warn(message: string, hint: string): Finding
  fail(message: string, hint: string): Finding
}

export function findingsOf(check: string, subject: string): FindingBuilder {
  return {
    ok: (message) => ({ check, subject, status: 'ok', message }),
    warn: (message, hint) => ({ check, subject, status: 'warn', message, hint }),
    fail: (message, hint) => ({ check, subject, status: 'fail', message, hint }),
  }
}

const SHOWN: Readonly<Record<Status, string>> = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' }

export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, subject, status, message, hint }) => [
    `${SHOWN[status]}  ${check.padEnd(width)}  ${printable(subject)}: ${printable(message)}`,
    ...(hint === undefined ? [] : [`${' '.repeat(width + 8)}hint: ${printable(hint)}`]),
  ])
  return [...lines, '', summarise(findings), ''].join('\n')
}

function summarise(findings: readonly Finding[]): string {
  const count = (wanted: Status): number => findings.filter(({ status }) => status === wanted).length
  const [fails, warnings] = [count('fail'), count('warn')]
  if (fails > 0) return `${fails} of ${findings.length} checks failed`
  if (warnings > 0) return plural(warnings, 'warning')
  return `all ${findings.length} checks passed`
}
