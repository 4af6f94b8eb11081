// Passes requests to Pebble as they came. Pebble builds every URL from the Host header, and holds the
// signed `url` of a request against it too: with that header left alone, clients stay with the proxy and
// their signatures stay good.
import https from 'node:https'
import type { IncomingHttpHeaders } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { Answer } from './exchange.ts'
import type { AcmeRequest } from './request.ts'

/** Pebble answers within milliseconds, or not at all. */
const ANSWER_WITHIN_MS = 10_000
/** RFC 9110 7.6.1, and the length, which node:http sets. */
const BETWEEN_HOPS = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length'])

export class PebbleFront {
  readonly #origin: string
  readonly #caPem: string

  constructor(directoryUrl: string, caPem: string) {
    this.#origin = new URL(directoryUrl).origin
    this.#caPem = caPem
  }

  /** Rejects when Pebble cannot be reached, or stays silent. */
  async forward({
    method,
    path,
    headers,
    body,
  }: Pick<AcmeRequest, 'method' | 'path' | 'headers' | 'body'>): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    // A connection for each: Pebble may be killed and come back between any two.
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS)
    const options = { method, headers: endToEnd(headers), ca: this.#caPem, agent: false, signal }
    https
      .request(`${this.#origin}${path}`, options, (response) => {
        buffer(response).then(
          (answer) =>
            resolve({ status: response.statusCode ?? 0, headers: endToEnd(response.headers), body: answer }),
          reject,
        )
      })
      .on('error', reject)
      .end(body)
    return await promise
  }

  async freshNonce(): Promise<string | undefined> {
    try {
      const { headers } = await this.forward({
        method: 'HEAD',
        path: '/nonce-plz',
        headers: {},
        body: Buffer.of(),
      })
      const nonce = headers['replay-nonce']
      return typeof nonce === 'string' ? nonce : undefined
    } catch {
      return undefined
    }
  }
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !BETWEEN_HOPS.has(name)))
}
