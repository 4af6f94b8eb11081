// One HTTP/2 session and its requests, with what a test wants to know of each answer.
import { once } from 'node:events'
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from 'node:http2'
import type { TestContext } from 'node:test'

export interface Http2Answer {
  readonly status: number
  readonly headers: http2.IncomingHttpHeaders
  readonly body: string
  readonly trailers: http2.IncomingHttpHeaders
  /** Every interim response. */
  readonly informational: readonly http2.IncomingHttpHeaders[]
  /** Of the RST_STREAM that ended it; 0 for none. */
  readonly resetCode: number
}

export async function connectHttp2(t: TestContext, port: number): Promise<ClientHttp2Session> {
  const session = http2.connect(`https://127.0.0.1:${port}`, {
    servername: 'a.example',
    rejectUnauthorized: false,
  })
  t.after(() => session.destroy())
  session.on('error', () => {})
  await once(session, 'connect')
  return session
}

/** A request whose body, if there is one, is the caller's to write. */
export function open(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  endStream = true,
): ClientHttp2Stream {
  return session.request({ ':authority': 'a.example', ...headers }, { endStream })
}

export async function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
  const informational: http2.IncomingHttpHeaders[] = []
  let headers: http2.IncomingHttpHeaders = {}
  let trailers: http2.IncomingHttpHeaders = {}
  let body = ''
  stream.on('headers', (fields) => informational.push(fields))
  stream.on('response', (fields) => (headers = fields))
  stream.on('trailers', (fields) => (trailers = fields))
  stream.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
  stream.on('error', () => {})
  await new Promise((resolve) => stream.once('close', resolve))
  return {
    status: Number(headers[':status']),
    headers,
    body,
    trailers,
    informational,
    resetCode: stream.rstCode,
  }
}

export async function request(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders = {},
  body?: string,
): Promise<Http2Answer> {
  const stream = open(session, { ':path': '/', ...headers }, body === undefined)
  if (body !== undefined) stream.end(body)
  return await answerOf(stream)
}
