// One HTTPS request by HTTP/1.1 or HTTP/2, to an address of this machine whatever the host name.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import http from 'node:http'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import http2 from 'node:http2'
import https from 'node:https'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'

export interface RequestOptions {
  readonly port: number
  /** Host, SNI and the name the certificate must have. */
  readonly host: string
  /** PEM roots to trust. */
  readonly ca: string
  /** The address to connect to. */
  readonly address?: string
  /** The address to connect from. */
  readonly from?: string
  readonly method?: string
  readonly path?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string
  readonly agent?: https.Agent
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** RFC 9112 9.3.1: a kept connection ended before anything of an answer came; clients send the request again. */
export class UnansweredError extends Error {
  readonly code: unknown

  constructor(cause: unknown) {
    super('a kept connection ended without an answer', { cause })
    this.code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  }
}

/**
 * HTTP/1.1; a connection of its own unless an agent is given.
 * @throws UnansweredError if the agent's connection has served before
 */
export async function request(options: RequestOptions): Promise<Answer> {
  const sent = https.request({
    host: options.address ?? '127.0.0.1',
    port: options.port,
    ...(options.from !== undefined && { localAddress: options.from }),
    servername: options.host,
    ca: options.ca,
    method: options.method ?? 'GET',
    path: options.path ?? '/',
    headers: { host: authorityOf(options), ...options.headers },
    agent: options.agent ?? false,
  })
  sent.end(options.body)
  const [response] = await once(sent, 'response').catch((error: unknown) => {
    throw sent.reusedSocket ? new UnansweredError(error) : error
  })
  const body = await buffer(response)
  return { status: response.statusCode, headers: response.headers, body: body.toString() }
}

/** HTTP/1.1 without TLS, for the redirect listener. */
export async function requestPlain(options: Omit<RequestOptions, 'ca'>): Promise<Answer> {
  const { port, host, address = '127.0.0.1', path = '/', headers } = options
  const sent = http.get({ host: address, port, path, headers: { host, ...headers }, agent: false })
  const [response] = await once(sent, 'response')
  const body = await buffer(response)
  return { status: response.statusCode, headers: response.headers, body: body.toString() }
}

/** HTTP/2, on a session of its own. */
export async function request2(options: RequestOptions): Promise<Answer> {
  const session = connect2(options)
  try {
    return await requestOn(session, options)
  } finally {
    session.close()
  }
}

/** The session carries errors to the streams; a caller that keeps it closes it. */
export function connect2(
  { host, port, ca, address = '127.0.0.1', from }: RequestOptions,
  options: http2.SecureClientSessionOptions = {},
): ClientHttp2Session {
  const authority = address.includes(':') ? `[${address}]` : address
  const connection = { servername: host, ca, ...options, ...(from !== undefined && { localAddress: from }) }
  const session = http2.connect(`https://${authority}:${port}`, connection)
  session.on('error', () => {})
  return session
}

/** One request on an open HTTP/2 session. */
export async function requestOn(session: ClientHttp2Session, options: RequestOptions): Promise<Answer> {
  const stream = session.request(
    {
      ':method': options.method ?? 'GET',
      ':path': options.path ?? '/',
      ':authority': authorityOf(options),
      ...options.headers,
    },
    { endStream: options.body === undefined },
  )
  if (options.body !== undefined) stream.end(options.body)
  const headers = await responseOf(stream)
  const body = await buffer(stream)
  return { status: Number(headers[':status']), headers, body: body.toString() }
}

/** The head of the answer; rejects when the stream ends without one, which is no error to node:http2. */
async function responseOf(stream: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingHttpHeaders>()
  stream.once('response', resolve)
  stream.once('error', reject)
  stream.once('close', () => reject(new Error('the stream was closed without an answer')))
  return await promise
}

function authorityOf({ host, port }: RequestOptions): string {
  return `${host}:${port}`
}
