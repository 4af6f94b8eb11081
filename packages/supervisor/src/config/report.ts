// How the issues of a configuration are shown: to people on a terminal, to programs as JSON, and in one line.
import { styleText } from 'node:util'
import { countIssues, type LocatedIssue } from './document/config-errors.ts'

interface RenderOptions {
  readonly color: boolean
}

/** Two lines for each issue and one that counts them; '' when there are none. */
export function renderConfigIssues(
  issues: readonly (LocatedIssue | IssueReport)[],
  { color }: RenderOptions,
): string {
  if (issues.length === 0) return ''
  const style = (format: Parameters<typeof styleText>[0], text: string) =>
    color ? styleText(format, text, { validateStream: false }) : text
  const lines = issues.flatMap((issue) => {
    const severity = style(issue.severity === 'error' ? 'red' : 'yellow', issue.severity)
    const subject = issue.path === '' ? '' : ` ${printable(issue.path)}`
    return [
      `${style('bold', placeOf(issue))} ${severity} ${issue.code}${subject}: ${printable(issue.message)}`,
      `    ${style('dim', `hint: ${printable(issue.hint)}`)}`,
    ]
  })
  return [...lines, countIssues(issues), ''].join('\n')
}

/** `config.toml:12:3` */
export function placeOf({ file, line, column }: LocatedIssue | IssueReport): string {
  return [printable(file), line ?? undefined, column ?? undefined]
    .filter((part) => part !== undefined)
    .join(':')
}

/** An issue as `validate --json` and the admin socket give it. */
export interface IssueReport {
  readonly file: string
  /** From 1; null for the file as a whole. */
  readonly line: number | null
  /** From 1, in UTF-16 code units. */
  readonly column: number | null
  readonly severity: 'error' | 'warning'
  readonly code: string
  readonly rules: readonly number[]
  /** `listeners[0].sites[1].host`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  readonly hint: string
}

export function reportIssue(issue: LocatedIssue): IssueReport {
  const { file, line, column, severity, code, rules, path, message, hint } = issue
  return { file, line: line ?? null, column: column ?? null, severity, code, rules, path, message, hint }
}

/** `config.toml:12:3: workers: must be ... (hint)` */
export function describeIssue(issue: LocatedIssue): string {
  const subject = issue.path === '' ? '' : `${issue.path}: `
  return `${placeOf(issue)}: ${subject}${issue.message} (${issue.hint})`
}

/** A value of the file can move no cursor and break no line. */
function printable(text: string): string {
  return text.replaceAll(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
