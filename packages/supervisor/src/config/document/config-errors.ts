// The error that loading a configuration throws: every issue of the file with its position.
import type { ConfigIssue } from '@reverse-proxy/shared/config/issues'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { plural } from '@reverse-proxy/shared/plural'

/** An issue with its position in the file, if it has one. */
export interface LocatedIssue extends ConfigIssue {
  readonly file: string
  /** From 1. */
  readonly line: number | undefined
  /** From 1, in UTF-16 code units. */
  readonly column: number | undefined
}

/** Code CONFIG. */
export class ConfigErrors extends ProxyError {
  readonly file: string
  /** In the order of the file, warnings included. */
  readonly issues: readonly LocatedIssue[]

  constructor(file: string, issues: readonly LocatedIssue[], cause?: unknown) {
    super('CONFIG', `${file}: ${countIssues(issues)}`, { cause, hint: 'reverse-proxy validate lists them' })
    this.name = 'ConfigErrors'
    this.file = file
    this.issues = issues
  }
}

/** The error of a file that could not be parsed. */
export function fileError(
  file: string,
  issue: ConfigIssue,
  { line, column, cause }: { line?: number; column?: number; cause: unknown },
): ConfigErrors {
  return new ConfigErrors(file, [{ ...issue, file, line, column }], cause)
}

/** `2 errors, 1 warning` */
export function countIssues(issues: readonly Pick<ConfigIssue, 'severity'>[]): string {
  const errors = issues.filter(({ severity }) => severity === 'error').length
  const warnings = issues.length - errors
  const counts: string[] = []
  if (errors > 0) counts.push(plural(errors, 'error'))
  if (warnings > 0) counts.push(plural(warnings, 'warning'))
  return counts.join(', ')
}
