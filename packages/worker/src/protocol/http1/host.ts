// The server of an HTTP/1 connection as the connection sees it. The server knows its connections; a connection knows
// only this interface.
import type { Limits } from '@reverse-proxy/shared/config/config'
import type { Client } from '../../connection/client-connection.ts'
import type { Exchange, ExchangeDeps } from '../exchange.ts'
import type { Http1Fault } from './fault.ts'
import type { HeadLimits } from './head-parser.ts'

export interface Http1Host<Connection> {
  readonly deps: ExchangeDeps
  readonly limits: Limits
  readonly headLimits: HeadLimits
  readonly keepAliveLine: string
  readonly isDraining: boolean
  handle(exchange: Exchange): void
  onFault(fault: Http1Fault, client: Client): void
  onClosed(connection: Connection): void
}
