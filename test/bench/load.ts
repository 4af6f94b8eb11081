// The loads: h2load for requests on kept connections, wrk for one request a connection, our own clients for
// WebSockets, resumption and idle connections. Each says how many units of work were done.
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { promisify } from 'node:util'
import { WebSocket } from 'ws'
import { HOST } from './peers.ts'

const execute = promisify(execFile)
const STEADY_SOCKETS = 20

export interface LoadResult {
  readonly units: number
  readonly seconds: number
  readonly failed: number
  /** Milliseconds, ascending; where the load measures them. */
  readonly latenciesMs?: readonly number[]
}

export interface H2loadOptions {
  readonly port: number
  readonly path: string
  readonly protocol: 'h1' | 'h2'
  readonly connections: number
  readonly streams?: number
  readonly seconds: number
  /** Requests per second, all connections together; else as fast as it goes. */
  readonly rate?: number
  /** Sent as the body of a POST. */
  readonly bodyPath?: string
  /** `name: value`, besides those of h2load. */
  readonly headers?: readonly string[]
  /** To keep each request's latency in. */
  readonly directory?: string
}

export async function h2load(options: H2loadOptions): Promise<LoadResult> {
  const { port, path, protocol, connections, streams = 1, seconds, rate, bodyPath, directory } = options
  const { headers = [] } = options
  const logPath = directory === undefined ? undefined : join(directory, 'h2load.tsv')
  const { stdout } = await execute(
    'h2load',
    [
      ...(protocol === 'h1' ? ['--h1'] : []),
      `--clients=${connections}`,
      '--threads=1',
      `--max-concurrent-streams=${streams}`,
      `--duration=${seconds}`,
      ...(rate === undefined ? [] : [`--rps=${rate / connections}`]),
      ...headers.map((header) => `--header=${header}`),
      ...(bodyPath === undefined ? [] : [`--data=${bodyPath}`]),
      ...(logPath === undefined ? [] : [`--log-file=${logPath}`]),
      `--connect-to=127.0.0.1:${port}`,
      `https://${HOST}:${port}${path}`,
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  )
  const counts = /(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored/u.exec(stdout)
  const statuses = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/u.exec(stdout)
  const [ok = 0, ...others] = (statuses ?? []).slice(1).map(Number)
  const result = {
    units: ok,
    seconds,
    failed: Number(counts?.[3] ?? 0) + others.reduce((sum, one) => sum + one, 0),
  }
  if (logPath === undefined) return result
  const latenciesMs = readFileSync(logPath, 'utf8')
    .trimEnd()
    .split('\n')
    // start time (us), status, response time (us)
    .map((line) => Number(line.split('\t')[2]) / 1000)
    .toSorted((a, b) => a - b)
  rmSync(logPath)
  return { ...result, latenciesMs }
}

/**
 * `perSecond` requests, on connections that are kept and opened anew when they end, as a client of its own process
 * would. One that ends unanswered on a kept connection is asked once more (RFC 9112 9.3.1).
 */
export async function steady(port: number, perSecond: number, seconds: number): Promise<LoadResult> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: STEADY_SOCKETS, rejectUnauthorized: false })
  const latenciesMs: number[] = []
  const pending = new Set<Promise<void>>()
  let failed = 0
  const ask = async (isRepeated = false): Promise<boolean> => {
    const outcome = await getOnce(port, agent)
    if (outcome === 'lost' && !isRepeated) return await ask(true)
    return outcome === 'answered'
  }
  const measure = async (): Promise<void> => {
    const startedMs = performance.now()
    if (await ask()) latenciesMs.push(performance.now() - startedMs)
    else failed++
  }
  const startedMs = performance.now()
  for (let sent = 0; sent < perSecond * seconds;) {
    const due = Math.min(perSecond * seconds, ((performance.now() - startedMs) / 1000) * perSecond)
    for (; sent < due; sent++) {
      const one = measure().finally(() => pending.delete(one))
      pending.add(one)
    }
    await sleep(1)
  }
  await Promise.all(pending)
  agent.destroy()
  return { units: latenciesMs.length, seconds, failed, latenciesMs: latenciesMs.toSorted((a, b) => a - b) }
}

async function getOnce(port: number, agent: https.Agent): Promise<'answered' | 'lost' | 'failed'> {
  return await new Promise((resolve) => {
    const request = https.get({ host: '127.0.0.1', port, agent, servername: HOST, headers: { host: HOST } })
    request.on('response', (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode === 200 ? 'answered' : 'failed'))
      response.on('error', () => resolve('failed'))
    })
    request.on('error', () => resolve(request.reusedSocket ? 'lost' : 'failed'))
  })
}

/** A new connection, and so a full handshake, for every request; as many a second as every peer can do. */
export async function freshConnections(
  port: number,
  perSecond: number,
  seconds: number,
): Promise<LoadResult> {
  const count = perSecond * seconds
  const { stdout } = await execute('h2load', [
    '--h1',
    `--requests=${count}`,
    `--clients=${count}`,
    `--rate=${perSecond}`,
    '--threads=1',
    `--connect-to=127.0.0.1:${port}`,
    `https://${HOST}:${port}/`,
  ])
  const units = Number(/status codes: (\d+) 2xx/u.exec(stdout)?.[1] ?? 0)
  return { units, seconds, failed: count - units }
}

/** Connections one after the other, each with the ticket of the one before; a unit is one that was resumed. */
export async function resume(port: number, connections: number): Promise<LoadResult> {
  const startedMs = performance.now()
  let session: Buffer | undefined
  let resumed = 0
  for (let count = 0; count <= connections; count++) {
    const outcome = await connectOnce(port, session)
    session = outcome.session
    if (count > 0 && outcome.isResumed) resumed++
  }
  return { units: resumed, failed: connections - resumed, seconds: (performance.now() - startedMs) / 1000 }
}

async function connectOnce(
  port: number,
  session: Buffer | undefined,
): Promise<{ isResumed: boolean; session: Buffer | undefined }> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername: HOST,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    ...(session && { session }),
  })
  let fresh = session
  socket.on('session', (ticket) => (fresh = ticket))
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  const isResumed = socket.isSessionReused()
  socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
  return { isResumed, session: fresh }
}

/** Each connection says something when the echo of what it said before has come. */
export async function webSocketEcho(port: number, connections: number, seconds: number): Promise<LoadResult> {
  const message = Buffer.alloc(128, 'm')
  let units = 0
  let failed = 0
  const trust: tls.ConnectionOptions = { servername: HOST, rejectUnauthorized: false }
  const clients = Array.from({ length: connections }, () => {
    const client = new WebSocket(`wss://127.0.0.1:${port}/echo`, { headers: { Host: HOST }, ...trust })
    client.on('open', () => client.send(message))
    client.on('message', () => {
      units++
      client.send(message)
    })
    client.on('error', () => failed++)
    return client
  })
  await sleep(seconds * 1000)
  for (const client of clients) client.terminate()
  return { units, seconds, failed }
}

/** The preface of HTTP/2, empty SETTINGS, and on stream 1 `GET /` by indexes of HPACK and a literal `:authority`. */
function http2Request(): Buffer {
  const block = Buffer.concat([
    Buffer.from([0x82, 0x84, 0x87, 0x01, HOST.length]),
    Buffer.from(HOST, 'latin1'),
  ])
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    // HEADERS with END_STREAM and END_HEADERS.
    Buffer.from([0, 0, block.length, 1, 0x05, 0, 0, 0, 1]),
    block,
  ])
}

/** The response has begun, or the connection has gone. */
async function answered(socket: tls.TLSSocket, protocol: 'h1' | 'h2'): Promise<void> {
  await new Promise<void>((resolve) => {
    let received = 0
    socket.once('close', resolve)
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
      // The upstream's content alone is longer than what a server says of itself.
      if (protocol === 'h1' || received > 500) resolve()
    })
  })
}

/** Opens `count` connections that say nothing after one request; resolves with what closes them. */
export async function holdIdle(port: number, count: number, protocol: 'h1' | 'h2'): Promise<() => void> {
  const sockets: tls.TLSSocket[] = []
  const context = tls.createSecureContext()
  const request = protocol === 'h1' ? Buffer.from(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`) : http2Request()
  const open = async (): Promise<void> => {
    while (sockets.length < count) {
      const socket = tls.connect({
        host: '127.0.0.1',
        port,
        servername: HOST,
        rejectUnauthorized: false,
        secureContext: context,
        ALPNProtocols: [protocol === 'h1' ? 'http/1.1' : 'h2'],
      })
      sockets.push(socket)
      socket.on('error', () => {})
      await new Promise((resolve) => socket.once('secureConnect', resolve).once('close', resolve))
      socket.write(request)
      await answered(socket, protocol)
    }
  }
  await Promise.all(Array.from({ length: 20 }, open))
  return () => sockets.forEach((socket) => socket.destroy())
}
