// What a client is sent over HTTP/1, read without tolerance.

export interface StrictResponse {
  readonly status: number
  /** `X-Id`: whose request the upstream says this answers. Undefined: the proxy's own answer. */
  readonly id: number | undefined
  readonly body: string
}

const STATUS_LINE = /^HTTP\/1\.1 (\d{3}) [\t\u0020-\u007e]*$/u
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t\u0020-\u007e\u0080-\u00ff]*)$/u

/**
 * Every final response in `text`. The last may lack its body: an answer to HEAD, or one cut by the end.
 * @throws Error for bytes that are no response
 */
export function readResponses(text: string): StrictResponse[] {
  const responses: StrictResponse[] = []
  for (let at = 0; at < text.length;) {
    const headEnd = text.indexOf('\r\n\r\n', at)
    if (headEnd === -1) throw new Error(`no response: ${JSON.stringify(text.slice(at, at + 200))}`)
    const [line = '', ...rows] = text.slice(at, headEnd).split('\r\n')
    const status = Number(STATUS_LINE.exec(line)?.[1] ?? Number.NaN)
    const fields = new Map(rows.map((row) => fieldOf(row)))
    if (Number.isNaN(status)) throw new Error(`no status line: ${JSON.stringify(line)}`)
    const start = headEnd + 4
    if (status < 200) {
      at = start
      continue
    }
    const { body, end } = bodyOf(text, start, status, fields)
    const id = fields.get('x-id')
    responses.push({ status, id: id === undefined ? undefined : Number(id), body })
    at = end
  }
  return responses
}

function fieldOf(row: string): readonly [name: string, value: string] {
  const match = FIELD.exec(row)
  if (match === null) throw new Error(`no field: ${JSON.stringify(row)}`)
  return [match[1]?.toLowerCase() ?? '', match[2] ?? '']
}

function bodyOf(
  text: string,
  start: number,
  status: number,
  fields: ReadonlyMap<string, string>,
): { readonly body: string; readonly end: number } {
  if (status === 204) return { body: '', end: start }
  const length = fields.get('content-length')
  if (length !== undefined) {
    const end = Math.min(text.length, start + Number(length))
    return { body: text.slice(start, end), end }
  }
  if (fields.get('transfer-encoding') !== 'chunked') return { body: text.slice(start), end: text.length }
  const end = text.indexOf('\r\n0\r\n', start)
  const trailersEnd = text.indexOf('\r\n\r\n', end + 3)
  if (end === -1 || trailersEnd === -1) throw new Error('chunks without end')
  return { body: text.slice(text.indexOf('\r\n', start) + 2, end), end: trailersEnd + 4 }
}
