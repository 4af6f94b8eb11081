// What the adversarial tests attack: one worker process, in front of an upstream that answers every
// complete request and keeps every byte. All tests of a process share the worker, one after the other.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { Limits, Site } from '@reverse-proxy/shared/config/config'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  startUpstream,
  type Behaviour,
  type RawUpstream,
} from '../../../../test/harness/raw-upstream.ts'
import { LIMITS, siteOf } from './site-server.ts'
import { startWorkerProcess, type WorkerProcess } from './process/worker-process.ts'

interface Proxy {
  readonly port: number
  /** Open client connections. */
  readonly openConnections: () => number
}

export interface Target extends Proxy {
  readonly upstream: RawUpstream
}

interface TargetOptions {
  /** Instead of answering every complete request with OK. */
  readonly behave?: Behaviour
  readonly site?: Partial<Site>
  readonly limits?: Partial<Limits>
}

/** How a forwarded request differs from the plainest there is. */
interface Forwarded {
  /** Header lines of the client that are passed on, each with its CRLF. */
  readonly fields?: string
  /** The length of the body, or chunks. */
  readonly body?: string
  readonly isChunked?: boolean
  /** The upstream is told that nothing follows: after HEAD. */
  readonly closes?: boolean
  readonly host?: string
}

let worker: Promise<WorkerProcess> | undefined

/** The worker that all tests of this process attack. */
export async function sharedWorker(): Promise<WorkerProcess> {
  worker ??= startWorkerProcess()
  return await worker
}

export async function startTarget(t: TestContext, options: TargetOptions = {}): Promise<Target> {
  const raw = await startUpstream(t, options.behave ?? answering(answerTo))
  const upstream = { ...raw, received: () => withoutIds(raw.received()) }
  const limits = { ...LIMITS, ...options.limits }
  return { upstream, ...(await startProxyFor([siteOf(upstream.port, options.site)], limits)) }
}

/** For tests that need sites of their own. */
export async function startProxyFor(sites: readonly Site[], limits = LIMITS): Promise<Proxy> {
  const { configure, httpsPort, openConnections } = await sharedWorker()
  await configure(sites, limits)
  return { port: httpsPort, openConnections }
}

function answerTo({ line }: { readonly line: string }): string {
  return line.startsWith('HEAD') ? OK.slice(0, -'ok'.length) : OK
}

/** Without the identifier that the proxy gives each request. */
export function withoutIds(text: string): string {
  return text.replaceAll(/\r\nX-Request-Id: [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\r\n)/gu, '')
}

/** A request as the upstream gets it, byte for byte, after `withoutIds`. @param line without the version */
export function forwarded(line: string, options: Forwarded = {}): string {
  const { fields = '', body, isChunked = false, closes = false, host = 'a.example' } = options
  const ours = `X-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: ${host}\r\n`
  const head = `${line} HTTP/1.1\r\nHost: ${host}\r\n${fields}${ours}`
  const end = `Connection: ${closes ? 'close' : 'keep-alive'}\r\n\r\n`
  if (body === undefined) return `${head}${end}`
  if (!isChunked) return `${head}Content-Length: ${body.length}\r\n${end}${body}`
  const chunk = body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`
  return `${head}Transfer-Encoding: chunked\r\n${end}${chunk}0\r\n\r\n`
}

/** At most the beginning of `request` came, so that the upstream cannot have taken it for one. */
export function assertNotCompleted(received: string, request: string): void {
  assert.ok(received !== request && request.startsWith(received), received)
}

/** An answer of the proxy's own, as an HTTP/1 client sees it, byte for byte, after `withoutDate`. */
export function refusal(status: number, text: string): string {
  return `HTTP/1.1 ${status} ${text}\r\ncontent-type: text/plain\r\ncontent-length: ${text.length}\r\nconnection: close\r\n\r\n${text}`
}

/** The upstream's OK, as an HTTP/1 client sees it, byte for byte, after `withoutDate`. */
export function passedOn(connection: 'keep-alive' | 'close' = 'keep-alive'): string {
  const kept = connection === 'close' ? '' : `keep-alive: timeout=${LIMITS.keepAliveTimeoutMs / 1000}\r\n`
  return `HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: ${connection}\r\n${kept}\r\nok`
}

/** Without the lines that are new each time, and with all header names in lower case. */
export function withoutDate(text: string): string {
  return text
    .replaceAll(/^date: .*\r\n/gim, '')
    .replaceAll(/^[A-Z][A-Za-z-]*(?=: )/gm, (name) => name.toLowerCase())
}

/** Sends `bytes` over HTTP/1.1. @returns what the client saw until the connection ended */
export async function sendUntilClosed(t: TestContext, target: Target, bytes: string): Promise<string> {
  const client = await connectRaw(t, target.port)
  client.send(bytes)
  await client.closed()
  return withoutDate(client.received())
}

/** The same for bytes after which the connection stays: what the client saw when it had `answers` answers. */
export async function sendAndKeep(
  t: TestContext,
  target: Target,
  bytes: string,
  options: { readonly answers?: number; readonly toHead?: boolean } = {},
): Promise<string> {
  const client = await connectRaw(t, target.port)
  client.send(bytes)
  for (let i = 0; i < (options.answers ?? 1); i++) await client.response({ toHead: options.toHead === true })
  client.socket.destroy()
  return withoutDate(client.received())
}

/**
 * Asks once more, on a connection of its own: the worker lives, and whatever it was doing is done.
 * @returns all that the upstream received before, byte for byte
 */
export async function receivedBefore(t: TestContext, target: Target): Promise<string> {
  const seen = await sendAndKeep(t, target, 'GET /alive HTTP/1.1\r\nHost: a.example\r\n\r\n')
  assert.match(seen, /^HTTP\/1\.1 200 OK\r\n/u)
  const received = target.upstream.received()
  const alive = forwarded('GET /alive')
  assert.ok(received.includes(alive))
  return received.replace(alive, '')
}
