// The head of a response over HTTP/1 as text (RFC 9112 4 to 6). Pure, but for the clock of Date.
import { STATUS_CODES } from 'node:http'
import { isFieldName } from '../../message/field-names.ts'
import { isFieldValue } from '../../message/field-values.ts'
import { currentHttpDate } from '../date.ts'

/**
 * Status line and fields, without the empty line; a character for each byte.
 * @param reason empty: the usual phrase
 * @param fields name, value, name, value ...
 * @throws TypeError for a field or reason that cannot be sent
 */
export function responseHeadText(status: number, reason: string, fields: readonly string[]): string {
  const phrase = reason === '' ? (STATUS_CODES[status] ?? '') : reason
  if (!isFieldValue(phrase)) throw new TypeError('a reason phrase that cannot be sent')
  let text = `HTTP/1.1 ${status} ${phrase}\r\n${fieldLines(fields)}`
  if (status >= 200 && !hasDate(fields)) text += `Date: ${currentHttpDate()}\r\n`
  return text
}

/** @throws TypeError for a field that cannot be sent */
export function fieldLines(fields: readonly string[]): string {
  let text = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    const value = fields[i + 1]!
    if (!isFieldName(name) || !isFieldValue(value)) throw new TypeError('a field that cannot be sent')
    text += `${name}: ${value}\r\n`
  }
  return text
}

function hasDate(fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    if (name.length === 4 && name.toLowerCase() === 'date') return true
  }
  return false
}
