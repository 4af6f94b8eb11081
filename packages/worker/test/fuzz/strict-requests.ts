// What an upstream may be sent, read without any tolerance, and from the RFCs alone: nothing here is
// shared with the code under test. RFC 9112, and stricter where two parsers could differ.

export interface StrictRequest {
  readonly method: string
  readonly path: string
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
  /** On the wire. */
  readonly bytes: number
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\/[\u0021-\u0022\u0024-\u007e]*) HTTP\/1\.1$/u
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\u0020-\u007e\u0080-\u00ff]*)$/u
const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/u
const CHUNK_SIZE = /^(?:0|[1-9a-f][0-9a-f]{0,7})$/u
const NEVER_SENT = [
  'te',
  'trailer',
  'upgrade',
  'expect',
  'keep-alive',
  'proxy-connection',
  'http2-settings',
  'forwarded',
]

/** @returns undefined while the request is not complete. @throws Error for what must not be sent */
export function readStrict(text: string): StrictRequest | undefined {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const [line = '', ...rows] = text.slice(0, headEnd).split('\r\n')
  const [, method, path] = REQUEST_LINE.exec(line) ?? fail('request line', line)
  const fields = rows.map((row) => {
    const [, name, value] = FIELD.exec(row) ?? fail('field', row)
    return [name?.toLowerCase() ?? '', value ?? ''] as const
  })
  checkFields(fields)
  const start = headEnd + 4
  const read = readBody(text, start, fields)
  if (read === undefined) return undefined
  return { method: method ?? '', path: path ?? '', fields, ...read }
}

export function valuesOf({ fields }: Pick<StrictRequest, 'fields'>, name: string): string[] {
  return fields.filter(([candidate]) => candidate === name).map(([, value]) => value)
}

function checkFields(fields: StrictRequest['fields']): void {
  const count = (name: string): number => valuesOf({ fields }, name).length
  if (count('host') !== 1) fail('Host', String(count('host')))
  if (count('content-length') + count('transfer-encoding') > 1) fail('framing', JSON.stringify(fields))
  for (const name of NEVER_SENT) if (count(name) > 0) fail('hop-by-hop field', name)
}

function readBody(
  text: string,
  start: number,
  fields: StrictRequest['fields'],
): { readonly body: string; readonly bytes: number } | undefined {
  const [coding] = valuesOf({ fields }, 'transfer-encoding')
  if (coding !== undefined) {
    if (coding !== 'chunked') fail('Transfer-Encoding', coding)
    return readChunks(text, start)
  }
  const [declared = '0'] = valuesOf({ fields }, 'content-length')
  if (!DECIMAL.test(declared)) fail('Content-Length', declared)
  const end = start + Number(declared)
  return text.length < end ? undefined : { body: text.slice(start, end), bytes: end }
}

function readChunks(
  text: string,
  start: number,
): { readonly body: string; readonly bytes: number } | undefined {
  let body = ''
  for (let at = start; ;) {
    const sizeEnd = text.indexOf('\r\n', at)
    if (sizeEnd === -1) return undefined
    const sizeText = text.slice(at, sizeEnd)
    if (!CHUNK_SIZE.test(sizeText)) fail('chunk size', sizeText)
    const size = Number.parseInt(sizeText, 16)
    const dataEnd = sizeEnd + 2 + size
    if (text.length < dataEnd + 2) return undefined
    if (text.slice(dataEnd, dataEnd + 2) !== '\r\n') fail('end of chunk', text.slice(dataEnd, dataEnd + 10))
    if (size === 0) return { body, bytes: dataEnd + 2 }
    body += text.slice(sizeEnd + 2, dataEnd)
    at = dataEnd + 2
  }
}

function fail(what: string, found: string): never {
  throw new Error(`not strictly HTTP/1.1: ${what}: ${JSON.stringify(found.slice(0, 200))}`)
}
