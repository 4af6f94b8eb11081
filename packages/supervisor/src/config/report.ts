// How people read the issues of a configuration.
import { styleText } from 'node:util'
import { countIssues, type PlacedIssue } from './config-errors.ts'

interface RenderOptions {
  readonly color: boolean
}

/** Two lines for each issue and one that counts them; '' when there are none. */
export function renderConfigIssues(issues: readonly PlacedIssue[], { color }: RenderOptions): string {
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
function placeOf({ file, line, column }: PlacedIssue): string {
  return [printable(file), line, column].filter((part) => part !== undefined).join(':')
}

/** A value of the file can move no cursor and break no line. */
function printable(text: string): string {
  return text.replaceAll(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
