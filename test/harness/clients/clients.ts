// Clients of every kind at once, for as long as a test wants: fresh connections, kept ones, HTTP/2, uploads,
// WebSockets. Each checks what it gets; nothing is retried but what HTTP says was never looked at.
import { once } from 'node:events'
import http2, { type ClientHttp2Session } from 'node:http2'
import https from 'node:https'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { HttpOrigin } from '../http-origin.ts'
import type { RequestOptions } from './request.ts'
import { connect2, request, requestOn, UnansweredError } from './request.ts'
import { connectWebSocket } from './websocket.ts'
import type { Tally } from './tally.ts'

export interface ClientCounts {
  readonly freshPerSecond: number
  readonly keptConnections: number
  readonly http2Connections: number
  readonly http2Streams: number
  readonly uploads: number
  readonly webSockets: number
}

/** How long an upload takes. */
const UPLOAD_MS = 1_000
const UPLOAD_PARTS = 10
const UPLOAD_PART = Buffer.alloc(8 * 1024, 'u')
const WEBSOCKET_PAUSE_MS = 100
/** At a time. */
const MOST_FRESH = 50
/** Between two requests of a kept connection: clients that never pause would leave the machine to nobody else. */
const THINK_MS = 100
/** 1001, going away: how a WebSocket ends with the worker that carries it. */
const GOING_AWAY = 1001

export interface ClientsOptions {
  readonly target: RequestOptions
  readonly counts: ClientCounts
  readonly tally: Tally
}

/** What the clients need the upstream to do; the body of an upload comes back as its length. */
export async function answerClients(
  ...[incoming, response]: Parameters<Parameters<typeof HttpOrigin.start>[1]>
): Promise<void> {
  if (incoming.method !== 'POST') {
    response.end('served')
    return
  }
  try {
    response.end(String((await buffer(incoming)).length))
  } catch {
    // Cut by the proxy, whose worker was killed.
    response.destroy()
  }
}

/** Runs until `signal`; resolves when every client has finished what it was at. */
export async function runClients(
  { target, counts, tally }: ClientsOptions,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all([
    runFresh(counts.freshPerSecond, target, tally, signal),
    ...repeat(counts.keptConnections, async () => await runKept(target, tally, signal)),
    ...repeat(
      counts.http2Connections,
      async () => await runHttp2(counts.http2Streams, target, tally, signal),
    ),
    ...repeat(counts.uploads, async () => await runUploads(target, tally, signal)),
    ...repeat(counts.webSockets, async () => await runWebSocket(target, tally, signal)),
  ])
}

function repeat(count: number, client: () => Promise<void>): Promise<void>[] {
  return Array.from({ length: count }, client)
}

async function get(target: RequestOptions): Promise<void> {
  const { status, body } = await request(target)
  if (status !== 200 || body !== 'served') throw new Error(`answered ${status} ${body}`)
}

/**
 * Paced by the clock, whatever the answers take; except that a machine which cannot keep up is not buried under what
 * it has not done: no answer would come before the drain ends.
 */
async function runFresh(
  perSecond: number,
  target: RequestOptions,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = performance.now()
  const open = new Set<Promise<void>>()
  for (let begun = 0; !signal.aborted; await sleep(5)) {
    const due = ((performance.now() - startedMs) / 1000) * perSecond
    for (; begun < due; begun++) {
      if (open.size >= MOST_FRESH) continue
      const one = tally.count('fresh connections', async () => await get(target))
      open.add(one)
      void one.then(() => open.delete(one))
    }
  }
  await Promise.all(open)
}

async function runKept(target: RequestOptions, tally: Tally, signal: AbortSignal): Promise<void> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 })
  while (!signal.aborted) {
    try {
      await get({ ...target, agent })
      tally.ok('kept-alive requests')
    } catch (error) {
      // It crossed the end of an idle connection, unless the test finds that it had been begun.
      if (error instanceof UnansweredError) tally.again('kept-alive requests')
      else tally.fail('kept-alive requests', error)
    }
    await sleep(THINK_MS * (0.5 + Math.random()))
  }
  agent.destroy()
}

async function runHttp2(
  streams: number,
  target: RequestOptions,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  let session: ClientHttp2Session | undefined
  const current = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) session = openSession(target)
    return session
  }
  const client = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const { status, body } = await requestOn(current(), target)
        if (status !== 200 || body !== 'served') throw new Error(`answered ${status} ${body}`)
        tally.ok('HTTP/2 requests')
      } catch (error) {
        // RFC 9113 6.8 and 8.7: it has not been looked at.
        if (isRefused(error)) tally.again('HTTP/2 requests')
        else tally.fail('HTTP/2 requests', error)
      }
      await sleep(THINK_MS * (0.5 + Math.random()))
    }
  }
  await Promise.all(Array.from({ length: streams }, client))
  session?.close()
}

/** A session that has been sent GOAWAY is used no more, and lives on for what it carries. */
function openSession(target: RequestOptions): ClientHttp2Session {
  const session = connect2(target)
  session.on('goaway', () => session.close())
  return session
}

function isRefused(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  const { NGHTTP2_REFUSED_STREAM } = http2.constants
  const names = ['ERR_HTTP2_GOAWAY_SESSION', 'ERR_HTTP2_INVALID_SESSION']
  return (
    names.includes(String(error.code)) ||
    error.message.includes(`NGHTTP2_REFUSED_STREAM`) ||
    error.code === NGHTTP2_REFUSED_STREAM
  )
}

async function runUploads(target: RequestOptions, tally: Tally, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await tally.count('uploads', async () => await upload(target))
}

async function upload({ host, port, ca }: RequestOptions): Promise<void> {
  const sent = https.request({
    host: '127.0.0.1',
    port,
    servername: host,
    ca,
    method: 'POST',
    path: '/upload',
    headers: { host },
    agent: false,
  })
  const answered = once(sent, 'response')
  for (let part = 0; part < UPLOAD_PARTS; part++) {
    sent.write(UPLOAD_PART)
    await Promise.race([sleep(UPLOAD_MS / UPLOAD_PARTS), answered])
  }
  sent.end()
  const [response] = await answered
  const body = (await buffer(response)).toString()
  if (body !== String(UPLOAD_PARTS * UPLOAD_PART.length))
    throw new Error(`answered ${response.statusCode} ${body}`)
}

/** Says something, waits for the echo, pauses; when it is told to go away, it comes again. */
async function runWebSocket(target: RequestOptions, tally: Tally, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const client = connectWebSocket(target)
    const closed = new Promise<number>((resolve) => client.once('close', resolve))
    client.on('error', (error) => tally.fail('WebSockets', error))
    let [sent, echoed] = [0, 0]
    client.on('message', (data: Buffer) => {
      if (data.toString() === String(++echoed)) tally.ok('WebSocket messages')
      else tally.fail('WebSocket messages', new Error(`${data.toString()} instead of ${echoed}`))
    })
    const talk = setInterval(() => {
      if (client.readyState === WebSocket.OPEN) client.send(String(++sent))
    }, WEBSOCKET_PAUSE_MS)
    const leave = (): void => {
      if (client.readyState === WebSocket.CONNECTING) client.once('open', leave)
      else client.close(1000)
    }
    signal.addEventListener('abort', leave)
    const code = await closed
    signal.removeEventListener('abort', leave)
    clearInterval(talk)
    if (code === GOING_AWAY) tally.again('WebSockets')
    else if (code !== 1000 || !signal.aborted) tally.fail('WebSockets', new Error(`closed with ${code}`))
  }
}
