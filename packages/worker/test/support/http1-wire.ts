// An HTTP/1 connection in memory: the pieces that a client sends, one after the other, and what comes of them. For
// thousands of inputs, each cut at every byte, which real sockets would take minutes for.
import { createServer, type Server } from 'node:http'
import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { upstreamRequestHeaders } from '../../src/message/headers.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { Pipeline } from '../../src/pipeline/pipeline.ts'
import { DONE } from '../../src/pipeline/stage.ts'
import { ParseStage } from '../../src/pipeline/stages/parse.ts'
import type { Exchange } from '../../src/protocol/exchange.ts'
import { Http1Server } from '../../src/protocol/http1/server.ts'
import { WriteTimeouts } from '../../src/protocol/write-timeouts.ts'
import { requestHeadText } from '../../src/upstream/http1/request-head.ts'
import { recordingLog } from './front.ts'
import { LIMITS } from './site-server.ts'
import { withoutDate } from './target.ts'

export interface Outcome {
  /** What the client got, without the lines that are new each time. */
  readonly seen: string
  /** What would have gone up for each request that was read to its end. */
  readonly sent: readonly string[]
}

/** Takes what is written to it, and gives what is pushed. */
class Wire extends Duplex {
  seen = ''
  bytesWritten = 0

  constructor() {
    super({ allowHalfOpen: false, decodeStrings: true })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.seen += chunk.toString('latin1')
    done()
  }

  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  setTimeout(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  /** Everything that is asked of a socket here. */
  asSocket(): Socket {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
    return this as unknown as Socket
  }
}

/** The response to a request that `sent` went up for. */
export type Answer = (sent: string, exchange: Exchange) => void

/** Every request is answered 200 `ok`. */
const answerOk: Answer = (_sent, exchange) => {
  exchange.respond({ status: 200, reason: '', headers: [], contentLength: '2' })
  exchange.endWith(Buffer.from('ok'))
}

/** @param pieces each a read of its own */
export async function serveOwn(pieces: readonly Buffer[], answer = answerOk): Promise<Outcome> {
  const sent: string[] = []
  const log = recordingLog([])
  const metrics = new TrafficMetrics()
  const pipeline = new Pipeline(
    [
      new ParseStage(() => LIMITS),
      {
        run: (exchange) => {
          takeRequest(exchange, (text) => {
            sent.push(text)
            answer(text, exchange)
          })
          return DONE
        },
      },
    ],
    log,
  )
  const server = new Http1Server(LIMITS, {
    exchange: {
      accessLog: { request: () => {}, upstreamError: () => {}, upstreamRetried: () => {} },
      stalls: new WriteTimeouts(() => LIMITS.bodyStallTimeoutMs, nowMs, log, metrics),
      nowMs,
    },
    log,
    metrics,
    handle: (exchange) => pipeline.run(exchange),
    isDraining: () => false,
  })
  const wire = new Wire()
  server.adopt(wire.asSocket(), { clientIp: '127.0.0.1' })
  return { seen: withoutDate(await feed(wire, pieces)), sent }
}

/** The request as it would go up, once it is complete. */
function takeRequest(exchange: Exchange, done: (sent: string) => void): void {
  const { request, head } = exchange
  // Split reads take the other way, and must come to the same.
  const passedLines = request.connectionOptions.length === 0 ? head.passedLines : undefined
  const { list } = upstreamRequestHeaders(passedLines === undefined ? head.rawHeaders : [], {
    client: { ip: '127.0.0.1', scheme: 'https' },
    authority: request.authority,
    connectionOptions: request.connectionOptions,
    requestId: 'r1',
    user: undefined,
    dropsAuthorization: false,
  })
  const text = requestHeadText(head.method, request.path, list, request.body, false, passedLines)
  if (request.body.kind === 'none') {
    done(text)
    return
  }
  let body = ''
  exchange.body.flowTo({
    onBody(bytes, from, to) {
      body += bytes.toString('latin1', from, to)
      return true
    },
    onBodyEnd: () => {
      if (request.body.kind === 'length' || body === '')
        done(text + (request.body.kind === 'length' ? body : '0\r\n\r\n'))
      else done(`${text}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
    },
    onBodyGone: () => {},
  })
}

/** The runtime's server as oracle: each request that it has read to its end, as `METHOD target body`, and what was seen. */
export async function serveRuntime(pieces: readonly Buffer[]): Promise<Outcome> {
  const sent: string[] = []
  const server: Server = createServer({ requireHostHeader: false }, (req, res) => {
    let body = ''
    req.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')))
    req.on('end', () => {
      sent.push(summaryOf(req.method ?? '', req.url ?? '', body))
      res.end('ok')
    })
    req.on('error', () => {})
  })
  server.on('upgrade', (_req, socket) => socket.destroy())
  server.on('connect', (_req, socket) => socket.destroy())
  const wire = new Wire()
  server.emit('connection', wire)
  return { seen: withoutDate(await feed(wire, pieces)), sent }
}

export function summaryOf(method: string, target: string, body: string): string {
  return `${method} ${target} ${body}`
}

const POISON = 0xdb

async function feed(wire: Wire, pieces: readonly Buffer[]): Promise<string> {
  for (const piece of pieces) {
    if (wire.destroyed || wire.readableEnded) break
    const read = Buffer.from(piece)
    wire.push(read)
    // The memory of a read is used again once it has been taken: what was kept of it without a copy goes bad.
    if (wire.readableLength === 0) read.fill(POISON)
    if (wire.listenerCount('data') === 0) break
  }
  await turns()
  if (!wire.readableEnded && !wire.destroyed) wire.push(null)
  await turns()
  wire.destroy()
  return wire.seen
}

/** Whatever can happen without the client has happened. */
async function turns(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

function nowMs(): number {
  return performance.now()
}
