// Parses bytes as a TOML document. Does not interpret the document.
import { configIssue } from '@reverse-proxy/shared/config/issues'
import { parse, TomlError } from 'smol-toml'
import { fileError } from './config-errors.ts'
import { findLongKey } from './key-parts.ts'
import { lookAlike } from './look-alike.ts'

const MAX_DEPTH = 32

/** The text of a file; throws ConfigErrors unless it is UTF-8. A byte order mark is dropped. */
export function decodeText(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    const issue = configIssue('TOML_SYNTAX', [], 'the file is not UTF-8', 'save it as UTF-8')
    throw fileError(file, issue, { cause })
  }
}

/** Returns the document as a new object; throws ConfigErrors with the position of the syntax error. */
export function parseToml(file: string, text: string): unknown {
  const longKeyLine = findLongKey(text)
  if (longKeyLine !== undefined) {
    const issue = configIssue(
      'TOML_SYNTAX',
      [],
      'a key with more than 64 parts',
      'no key has more than 4 parts',
    )
    throw fileError(file, issue, { line: longKeyLine, column: 1, cause: undefined })
  }
  try {
    return parse(text, { maxDepth: MAX_DEPTH })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const { line, column } = error
    const [message = ''] = error.message.replace(/^Invalid TOML document: /u, '').split('\n')
    const other = lookAlike(text)
    if (other !== undefined) {
      const issue = configIssue('NOT_TOML', [], `this looks like ${other.name}, not like TOML`, other.hint)
      throw fileError(file, issue, { line, column, cause: error })
    }
    const issue = configIssue('TOML_SYNTAX', [], message, syntaxHint(text.split('\n')[line - 1] ?? ''))
    throw fileError(file, issue, { line, column, cause: error })
  }
}

function syntaxHint(line: string): string {
  const value = /^\s*[\w.-]+\s*=\s*([^\s"'[{#][^#]*?)\s*(?:#.*)?$/u.exec(line)?.[1]
  if (value !== undefined && !/^[\d+-]|^(?:true|false|inf|nan)$/u.test(value))
    return `text needs quotes: "${value}"`
  return `the line is: ${line.trim().slice(0, 80)}`
}
