// Rules about addresses and ports. Addresses are compared as the kernel would: `::1` and
// `0:0:0:0:0:0:0:1` are one, `::ffff:127.0.0.1` is 127.0.0.1, a wildcard takes in its whole family.
import { isWildcardAddress, parseIpAddress, type IpAddress } from '../../ip-address.ts'
import { configIssue, formatPath, type ConfigPath } from '../issues.ts'
import { listenersOf, type Located, type Rule } from './rule.ts'
import type { ConfigFile, ListenerFile, Valid } from '../schema.ts'

export const ruleBindAddresses: Rule = function* (file) {
  for (const listener of listenersOf(file)) {
    for (const { value, at } of writtenAddresses(listener)) {
      if (parseIpAddress(value) !== undefined) continue
      yield configIssue('BIND_ADDR_INVALID', at, `"${value}" is not an IP address`, bindAddrHint(value))
    }
  }
}

function bindAddrHint(text: string): string {
  const inner = text.replace(/^\[(.*)\](?::\d+)?$|^([^:]*):\d+$/u, '$1$2')
  if (inner !== text && parseIpAddress(inner)) return `write "${inner}"; ports are http_port and https_port`
  if (text === '*' || text === '') return 'write an address of this machine; `ip addr` lists them'
  return 'write an address such as "203.0.113.10" or "::1", not a name'
}

/** No wildcard address, unless it is allowed. */
export const ruleWildcardBind: Rule = function* (file, { allowWildcardBind }) {
  if (allowWildcardBind || (file.allow_wildcard_bind ?? false)) return
  for (const listener of listenersOf(file)) {
    for (const { value, at } of addressesOf(listener)) {
      if (!isWildcardAddress(value)) continue
      const message = `${value.text} listens on every address of the machine`
      const hint = 'list the addresses, or set allow_wildcard_bind = true (or pass --allow-wildcard-bind)'
      yield configIssue('WILDCARD_BIND', at, message, hint)
    }
  }
}

/** No two listeners bind the same address and port. One issue for two addresses, however many ports they share. */
export const rulePorts: Rule = function* (file) {
  const bound: Bound[] = []
  for (const listener of listenersOf(file)) {
    const ports = portsOf(listener.value)
    for (const address of addressesOf(listener)) {
      for (const earlier of bound) {
        if (!overlaps(earlier.address, address.value)) continue
        const shared = [...ports.keys()].filter((port) => earlier.ports.has(port))
        if (shared.length === 0) continue
        const also = formatPath(earlier.at)
        const same = earlier.address.text === address.value.text
        const message = `${address.value.text} ${shared.length > 1 ? 'ports' : 'port'} ${shared.join(' and ')}: ${
          same ? `already bound by ${also}` : `overlaps ${earlier.address.text} of ${also}`
        }`
        yield configIssue(
          'LISTENER_PORT_CLASH',
          address.at,
          message,
          clashHint(earlier.listener === listener.value),
        )
      }
      bound.push({ listener: listener.value, address: address.value, at: address.at, ports })
    }
  }
}

interface Bound {
  readonly listener: Valid<ListenerFile>
  readonly address: IpAddress
  readonly at: ConfigPath
  readonly ports: Ports
}

function clashHint(isSameListener: boolean): string {
  return isSameListener
    ? 'name each address once'
    : 'give one of them another address or port, or put the sites of both under one listener'
}

/** http_port and https_port differ. */
export const ruleSamePorts: Rule = function* (file) {
  for (const { value, at } of listenersOf(file)) {
    if (value.http_port === undefined || value.http_port !== value.https_port || isPlain(value)) continue
    const message = `http_port and https_port are both ${value.http_port}`
    yield configIssue(
      'SAME_PORTS',
      [...at, 'http_port'],
      message,
      'write another port, or http_port = 0 for none',
    )
  }
}

/** A listener without TLS has http_port alone. */
export const rulePlainPorts: Rule = function* (file) {
  for (const { value, at } of listenersOf(file)) {
    if (!isPlain(value)) continue
    if (value.http_port === 0) {
      const message = 'tls.mode = "off" serves the sites on http_port, which is 0'
      yield configIssue('PLAIN_PORT_DISABLED', [...at, 'http_port'], message, 'write http_port = 80')
    }
    if (value.https_port !== undefined && value.https_port !== DEFAULT_HTTPS_PORT) {
      const hint = 'remove it; tls.mode = "off" serves the sites on http_port'
      const message = 'https_port has no effect with tls.mode = "off"'
      yield configIssue('KEY_UNUSED', [...at, 'https_port'], message, hint)
    }
  }
}

/** The default. A written 443 looks the same. */
const DEFAULT_HTTPS_PORT = 443

function isPlain({ tls }: Valid<ListenerFile>): boolean {
  return tls?.mode === 'off'
}

/** No listener binds the port of the health check. */
export const ruleHealthPort: Rule = function* (file) {
  const { health_check_port: port } = file
  if (port === undefined || port === 0) return
  for (const listener of listenersOf(file)) {
    const key = portsOf(listener.value).get(port)
    if (key === undefined) continue
    if (![...addressesOf(listener)].some(({ value }) => overlaps(value, LOOPBACK))) continue
    const message = `127.0.0.1 port ${port} is the health check's (health_check_port)`
    const hint = `write another ${key}, or another health_check_port (0 for none)`
    yield configIssue('HEALTH_PORT_CLASH', [...listener.at, key], message, hint)
  }
}

const LOOPBACK: IpAddress = { family: 4, text: '127.0.0.1' }

type Ports = ReadonlyMap<number, 'http_port' | 'https_port'>

function portsOf(listener: Valid<ListenerFile>): Ports {
  const { http_port: http, https_port: https } = listener
  const ports = new Map<number, 'http_port' | 'https_port'>()
  if (http !== undefined && http !== 0) ports.set(http, 'http_port')
  if (https !== undefined && !isPlain(listener)) ports.set(https, 'https_port')
  return ports
}

function overlaps(a: IpAddress, b: IpAddress): boolean {
  return a.family === b.family && (a.text === b.text || isWildcardAddress(a) || isWildcardAddress(b))
}

function* addressesOf(listener: Located<Valid<ListenerFile>>): Generator<Located<IpAddress>> {
  for (const { value, at } of writtenAddresses(listener)) {
    const address = parseIpAddress(value)
    if (address !== undefined) yield { value: address, at }
  }
}

function* writtenAddresses({ value, at }: Located<Valid<ListenerFile>>): Generator<Located<string>> {
  const written: Valid<ConfigFile['listeners'][number]['bind_addr']> | undefined = value.bind_addr
  if (written === undefined) return
  if (typeof written === 'string') {
    yield { value: written, at: [...at, 'bind_addr'] }
    return
  }
  for (const [index, address] of written.entries()) {
    if (address !== undefined) yield { value: address, at: [...at, 'bind_addr', index] }
  }
}
