// The values of the placeholders in configured header fields for one exchange.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Placeholder } from '@reverse-proxy/shared/config/sites/header-changes'
import type { Exchange } from './exchange.ts'

/** @throws TypeError before the request has been parsed */
export function placeholderValue(exchange: Exchange, placeholder: Placeholder): string {
  switch (placeholder) {
    case 'client_ip':
      return exchange.client.ip
    case 'host':
      return exchange.request.host
    case 'scheme':
      return exchange.client.scheme
    case 'request_id':
      return exchange.requestId
    default:
      return assertNever(placeholder)
  }
}
