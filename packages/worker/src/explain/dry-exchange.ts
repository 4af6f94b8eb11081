// A request that nobody sent: the stages see it as any other, and its response is kept instead of written.
import { Socket } from 'node:net'
import type { ClientConnection } from '../connection/client-connection.ts'
import type { RequestHead } from '../message/request-parser.ts'
import type { BodySource } from '../protocol/body.ts'
import { Exchange, type ResponseHead } from '../protocol/exchange.ts'
import { WriteTimeouts } from '../protocol/write-timeouts.ts'
import { SILENT_LOG, SILENT_METRICS } from './silence.ts'

/** No time passes. */
function nowMs(): number {
  return 0
}

export class DryExchange extends Exchange {
  /** Undefined: none of the stages has responded. */
  response: ResponseHead | undefined
  responseBody = ''

  constructor(head: RequestHead, connection: Omit<ClientConnection, 'socket'>) {
    super(
      head,
      { ...connection, socket: new Socket() },
      {
        accessLog: { request: () => {}, upstreamError: () => {}, upstreamRetried: () => {} },
        stalls: new WriteTimeouts(() => Infinity, nowMs, SILENT_LOG, SILENT_METRICS),
        nowMs,
      },
    )
  }

  get body(): BodySource {
    throw new TypeError('nobody reads the body of an explained request')
  }

  get isRequestComplete(): boolean {
    return true
  }

  get canAnnounceTrailers(): boolean {
    return false
  }

  protected override writeHead(head: ResponseHead): void {
    this.response = head
    this.status = head.status
  }

  write(chunk: Buffer): boolean {
    this.responseBody += chunk.toString()
    return true
  }

  end(): void {
    this.isEnded = true
  }

  endWith(last: Buffer): void {
    this.write(last)
    this.end()
  }

  inform(): void {}
  onStalled(): void {}
  truncate(): void {}
  closeAfterwards(): void {}
}
