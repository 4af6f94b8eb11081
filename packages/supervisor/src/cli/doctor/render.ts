// The findings of `doctor` as people read them: one line each, and what to do below it. Pure.
import { printable } from '../../management/reports/table.ts'
import type { Finding, Verdict } from './finding.ts'

const SHOWN: Readonly<Record<Verdict, string>> = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' }

export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ check }) => check.length))
  const lines = findings.flatMap(({ check, subject, verdict, message, hint }) => [
    `${SHOWN[verdict]}  ${check.padEnd(width)}  ${printable(subject)}: ${printable(message)}`,
    ...(hint === undefined ? [] : [`${' '.repeat(width + 8)}hint: ${printable(hint)}`]),
  ])
  return [...lines, '', summarise(findings), ''].join('\n')
}

function summarise(findings: readonly Finding[]): string {
  const count = (wanted: Verdict): number => findings.filter(({ verdict }) => verdict === wanted).length
  const [fails, warnings] = [count('fail'), count('warn')]
  if (fails > 0) return `${fails} of ${findings.length} checks failed`
  if (warnings > 0) return `nothing failed, ${warnings} of ${findings.length} checks want a look`
  return `all ${findings.length} checks are well`
}
