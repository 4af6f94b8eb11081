// The welcome upstream, built into every worker: it responds to each request with a description of that request, so
// that a first start shows what an upstream will receive. Plain HTTP on loopback.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { CONTENT_SECURITY_POLICY, renderPage } from './page.ts'
import type { RequestView } from './request-view.ts'
import { pairHeaders, prefersHtml, renderJson } from './request-view.ts'

export interface Welcome {
  readonly host: string
  readonly port: number
  /** Accepts no more connections; open ones end with their request. */
  close(): void
}

/** Listens on a free loopback port. */
export async function startWelcome(workerNumber: number): Promise<Welcome> {
  const server = createServer((request, response) => {
    respond(request, response, workerNumber).catch(() => response.destroy())
  })
  // `exclusive`: otherwise node:cluster shares the port among all workers.
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

async function respond(request: IncomingMessage, response: ServerResponse, worker: number): Promise<void> {
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
