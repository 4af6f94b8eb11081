// The head of a request to an upstream as text (RFC 9112 3 to 6), framed from the parsed message and never from the
// client's own fields. Checks once more that no value can end a line or a name; lines that pass as they came have been
// checked byte by byte. Pure.
import { ProxyError } from '@reverse-proxy/shared/errors'
import { isToken } from '@reverse-proxy/shared/http-token'
import { isFieldName } from '../../message/field-names.ts'
import { isFieldValue } from '../../message/field-values.ts'
import type { BodyFraming } from '../../message/request-parser.ts'

/** RFC 9110 8.6: methods that anticipate content, so that Content-Length is sent even without content. */
const WITH_CONTENT: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
// RFC 9112 3.2: the target ends at a space, and the line at CR or LF.
const UNSAFE_TARGET = /[^\u0021-\u007e\u0080-\u00ff]/

/**
 * @param fields name, value, name, value ...; without any that frame the message or concern its connection
 * @param isLast the connection takes no other request after this one
 * @param passedLines more field lines, checked by their parser, that come behind the first field
 * @returns a character for each byte
 * @throws ProxyError BAD_FRAMING
 */
export function requestHeadText(
  method: string,
  target: string,
  fields: readonly string[],
  body: BodyFraming,
  isLast: boolean,
  passedLines = '',
): string {
  if (!isToken(method) || UNSAFE_TARGET.test(target)) throw unsendable()
  let text = `${method} ${target} HTTP/1.1\r\n`
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!
    const value = fields[i + 1]!
    if (!isFieldName(name) || !isFieldValue(value)) throw unsendable()
    text += `${name}: ${value}\r\n`
    if (i === 0) text += passedLines
  }
  if (body.kind === 'length') text += `Content-Length: ${body.bytes}\r\n`
  else if (body.kind === 'unknown') text += 'Transfer-Encoding: chunked\r\n'
  else if (body.isDeclared || WITH_CONTENT.has(method)) text += 'Content-Length: 0\r\n'
  return `${text}Connection: ${isLast ? 'close' : 'keep-alive'}\r\n\r\n`
}

function unsendable(): ProxyError {
  return new ProxyError('BAD_FRAMING', 'unsendable request')
}
