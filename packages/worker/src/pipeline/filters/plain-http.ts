// Responses on a plain-HTTP port carry no Strict-Transport-Security, whoever set it (RFC 6797 7.2). A trusted proxy that
// speaks HTTPS with the client gets it.
import { removeFields } from '../../message/headers.ts'
import type { Exchange, ResponseFilter, ResponseHead } from '../../protocol/exchange.ts'

export class PlainHttpFilter implements ResponseFilter {
  onHead(exchange: Exchange, { headers }: ResponseHead): void {
    if (exchange.client.scheme === 'http') removeFields(headers, 0, isHsts)
  }
}

function isHsts(lowerName: string): boolean {
  return lowerName === 'strict-transport-security'
}
