// A fault to be found: it stands in for forward/transport.ts, and does what node-http-proxy 1.18.1 does
// to the body of a DELETE or OPTIONS in chunks. It drops the framing and sends the body all the same.
import { Agent, request } from 'node:http'
import type { forward as framedForward } from '../../src/pipeline/handlers/forward.ts'
import { forwardedOf } from '../../src/protocol/exchange.ts'
import { clientResponseHeaders, upstreamRequestHeaders } from '../../src/message/headers.ts'

const agent = new Agent({ keepAlive: true })
const LOSE_THEIR_FRAMING: ReadonlySet<string> = new Set(['DELETE', 'OPTIONS'])

export const forward: typeof framedForward = (exchange, route) => {
  const { body, path } = exchange.request
  const { host, port } = route.upstream.pick(exchange).address
  const { method, rawHeaders } = exchange.head
  const isUnframed = body.kind === 'unknown' && LOSE_THEIR_FRAMING.has(method)
  const { list: headers } = upstreamRequestHeaders(rawHeaders, forwardedOf(exchange))
  if (body.kind === 'length') headers.push('Content-Length', String(body.bytes))
  else if (isUnframed) headers.push('Content-Length', '0')
  else if (body.kind === 'unknown') headers.push('Transfer-Encoding', 'chunked')
  const sent = request({ agent, host, port, method, path, setHost: false })
  for (let i = 0; i < headers.length; i += 2) sent.appendHeader(headers[i] ?? '', headers[i + 1] ?? '')
  sent.on('error', () => exchange.truncate())
  sent.on('response', (response) => {
    const { list, contentLength } = clientResponseHeaders(
      response.rawHeaders,
      response.statusCode ?? 0,
      false,
    )
    exchange.respond({ status: response.statusCode ?? 0, reason: '', headers: list, contentLength })
    response.on('data', (chunk: Buffer) => void exchange.write(chunk))
    response.on('end', () => exchange.end([]))
  })
  if (body.kind === 'none') {
    sent.end()
    return
  }
  const pieces: Buffer[] = []
  exchange.body.flowTo({
    onBody(bytes, from, to) {
      const piece = bytes.subarray(from, to)
      if (isUnframed) pieces.push(Buffer.from(piece))
      else sent.write(piece)
      return true
    },
    onBodyEnd: () => void sent.end(Buffer.concat(pieces)),
    onBodyGone: () => void sent.destroy(),
  })
}
