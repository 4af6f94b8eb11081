// The upstream built into every worker: answers each request with what arrived here, so that a first
// start shows at once what an upstream of one's own will see. Plain HTTP on loopback, one per worker.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { CONTENT_SECURITY_POLICY, renderPage } from './page.ts'
import type { RequestView } from './request-view.ts'
import { pairHeaders, prefersHtml, renderJson } from './request-view.ts'

export interface Welcome {
  readonly host: string
  readonly port: number
  /** Takes no new connections; those that are open end with their request. */
  close(): void
}

/** Listens on a free loopback port of this process's own. */
export async function startWelcome(workerNumber: number): Promise<Welcome> {
  const server = createServer((request, response) => {
    answer(request, response, workerNumber).catch(() => response.destroy())
  })
  // `exclusive`: in a cluster worker the port would otherwise be shared by all workers.
  server.listen({ host: '127.0.0.1', port: 0, exclusive: true })
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string')
    throw new TypeError('the welcome upstream has no TCP address')
  return {
    host: address.address,
    port: address.port,
    close() {
      server.close()
      server.closeIdleConnections()
    },
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, worker: number): Promise<void> {
  const html = prefersHtml(request.headers.accept)
  const view: RequestView = {
    method: request.method ?? '',
    path: request.url ?? '',
    httpVersion: request.httpVersion,
    headers: pairHeaders(request.rawHeaders),
    bodyBytes: await countBytes(request),
    worker,
  }
  const body = Buffer.from(html ? renderPage(view) : renderJson(view))
  response.writeHead(200, {
    'Content-Type': html ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8',
    'Content-Length': body.byteLength,
    'Cache-Control': 'no-store',
    Vary: 'Accept',
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

async function countBytes(request: IncomingMessage): Promise<number> {
  let bytes = 0
  request.on('data', (chunk: Buffer) => (bytes += chunk.byteLength))
  await once(request, 'end')
  return bytes
}
