// An upstream that speaks HTTP/1.1 through node:http, where the bytes themselves do not matter.
import type { IncomingMessage, RequestListener } from 'node:http'
import http from 'node:http'
import type { TestContext } from 'node:test'
import { listen, portOf } from './ports.ts'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  /** Name, value, name, value, ... as sent. */
  readonly rawHeaders: readonly string[]
}

export class HttpOrigin {
  /** Requests in the order their heads came in. */
  readonly requests: SeenRequest[] = []
  readonly server: http.Server

  private constructor(answer: RequestListener) {
    // Streams of tests may last longer than a server's usual patience.
    this.server = http.createServer({ requestTimeout: 0 }, (request, response) => {
      this.requests.push(seen(request))
      answer(request, response)
    })
    this.server.on('upgrade', (request) => this.requests.push(seen(request)))
  }

  static async start(t: TestContext, answer: RequestListener): Promise<HttpOrigin> {
    const origin = new HttpOrigin(answer)
    await listen(t, origin.server)
    t.after(() => origin.server.closeAllConnections())
    return origin
  }

  get port(): number {
    return portOf(this.server)
  }

  /** `host:port` as the configuration wants it. */
  get upstream(): string {
    return `127.0.0.1:${this.port}`
  }
}

/** Every value of one header, in the order sent. */
export function valuesOf(request: SeenRequest, name: string): string[] {
  const values: string[] = []
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    if (request.rawHeaders[index]?.toLowerCase() === name) values.push(request.rawHeaders[index + 1] ?? '')
  }
  return values
}

function seen(request: IncomingMessage): SeenRequest {
  return { method: request.method ?? '', target: request.url ?? '', rawHeaders: request.rawHeaders }
}
