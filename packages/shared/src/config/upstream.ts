// Parses the upstream of a site: `host:port` or `[v6]:port`. Pure.
import { parseIpAddress } from '../ip-address.ts'

export interface UpstreamAddress {
  /** Lower-case name, or canonical address; IPv6 without brackets. */
  readonly host: string
  readonly port: number
}

export interface UpstreamFault {
  readonly message: string
  readonly hint: string
}

const PORT = /^[1-9]\d{0,4}$/u
// Names that only a resolver of this machine knows often have underscores (container names).
const NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/u
const NUMERIC_LABEL = /(?:^|\.)(?:\d+|0x[0-9a-f]*)$/u

/** @returns the parsed address, or the fault */
export function parseUpstream(text: string): UpstreamAddress | UpstreamFault {
  const shape = 'write host:port, such as "127.0.0.1:3000" or "[::1]:3000"'
  const scheme = /^(https?):\/\/([^/]*)/iu.exec(text)
  if (scheme) {
    const [, name = '', authority = ''] = scheme
    return fault(text, 'is a URL', `write "${authority}", with upstream_scheme = "${name.toLowerCase()}"`)
  }
  if (/^unix:/iu.test(text))
    return fault(text, 'is a Unix socket', `upstreams are reached over TCP: ${shape}`)
  if (parseIpAddress(text)?.family === 6)
    return fault(text, 'needs brackets', 'write "[address]:port", such as "[::1]:3000"')
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/u.exec(text)
  if (parts === null) return fault(text, 'is not host:port', shape)
  const [, bracketed, plain = '', port] = parts
  if (port === undefined || port === '')
    return fault(text, 'has no port', `write "${text.replace(/:$/u, '')}:3000"`)
  if (!PORT.test(port) || Number(port) > 65_535)
    return fault(text, `has the port "${port}"`, 'a port is 1 to 65535')
  const host = bracketed === undefined ? parseName(plain) : parseBracketed(bracketed)
  return host === undefined ? fault(text, 'is not host:port', shape) : { host, port: Number(port) }
}

function parseName(text: string): string | undefined {
  const name = text.toLowerCase()
  if (NUMERIC_LABEL.test(name)) return parseIpAddress(name)?.text
  return NAME.test(name) ? name : undefined
}

function parseBracketed(text: string): string | undefined {
  return text.includes(':') ? parseIpAddress(text)?.text : undefined
}

function fault(text: string, message: string, hint: string): UpstreamFault {
  return { message: `"${text}" ${message}`, hint }
}
