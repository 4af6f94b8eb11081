// Checks that a name leads the CA and clients to this machine. Pure.
import type { Listener } from '@reverse-proxy/shared/config/config'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import type { Finding } from './finding.ts'
import { findingsOf } from './finding.ts'
import type { Answer } from './probes.ts'

/** Addresses that are not public: loopback, private (RFC 1918, RFC 6598), link-local, unique local (RFC 4193). */
const NOT_PUBLIC =
  /^(?:127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|169\.254\.|::1$|f[cd]|fe[89ab])/u

export function checkName(
  name: string,
  answer: Answer<readonly string[]>,
  { bindAddrs }: Pick<Listener, 'bindAddrs'>,
  localAddresses: readonly string[],
): Finding {
  const finding = findingsOf('name', name)
  if ('fault' in answer) return finding.fail(`does not resolve (${answer.fault})`, RECORD_HINT)
  const addresses = answer.found.map((text) => parseIpAddress(text)?.text ?? text)
  if (addresses.length === 0) return finding.fail('has no address', RECORD_HINT)

  const isLocal = (address: string): boolean => address.startsWith('127.') || localAddresses.includes(address)
  const elsewhere = addresses.filter((address) => !isLocal(address))
  if (elsewhere.length === addresses.length) {
    const said = `resolves to ${addresses.join(', ')}, which is not an address of this machine`
    // Behind a router that forwards the ports, this machine does not have its public address.
    return localAddresses.some((address) => !NOT_PUBLIC.test(address))
      ? finding.fail(said, `point it here, or take it out of the configuration: ${publicOf(localAddresses)}`)
      : finding.warn(said, 'correct only if that address forwards ports 80 and 443 to this machine')
  }
  if (elsewhere.length > 0) {
    return finding.warn(
      `also resolves to ${elsewhere.join(', ')}, which is not an address of this machine`,
      'CAs and browsers may come by any of its addresses, IPv6 first: correct or remove that record',
    )
  }
  const unbound = addresses.filter((address) => !bindAddrs.some((bound) => accepts(bound, address)))
  if (unbound.length > 0) {
    return finding.fail(
      `resolves to ${unbound.join(', ')}, where its listener does not listen (${bindAddrs.join(', ')})`,
      'add that address to bind_addr, or correct the record',
    )
  }
  return finding.ok(`resolves to ${addresses.join(', ')}`)
}

const RECORD_HINT =
  'create an A or AAAA record that points to this machine; a new one may take a while to show'

function accepts(bound: string, address: string): boolean {
  if (bound === '0.0.0.0') return !address.includes(':')
  if (bound === '::') return address.includes(':')
  return bound === address
}

function publicOf(localAddresses: readonly string[]): string {
  return localAddresses.filter((address) => !NOT_PUBLIC.test(address)).join(', ')
}
