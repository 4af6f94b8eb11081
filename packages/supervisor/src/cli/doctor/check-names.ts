// Checks of a name: whether it leads the CA and clients to this machine, and whether its CAA records allow the CA
// (RFC 8659, and the parameters of RFC 8657). Pure.
import type { CaaRecord } from 'node:dns'
import type { Listener, ChallengeType } from '@reverse-proxy/shared/config/config'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import { findingsOf, type Finding } from './finding.ts'
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
    const message = `resolves to ${addresses.join(', ')}, which is not an address of this machine`
    // Behind a router that forwards the ports, this machine does not have its public address.
    return localAddresses.some((address) => !NOT_PUBLIC.test(address))
      ? finding.fail(
          message,
          `point it here, or remove it from the configuration: ${publicOf(localAddresses)}`,
        )
      : finding.warn(message, 'correct only if that address forwards ports 80 and 443 to this machine')
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

/** RFC 8659 4.1: flag bit; a CA that does not know the tag must not issue. */
const CRITICAL = 128

/** RFC 8659 3: the name, then each parent domain. The first one with records decides. */
export function climb(name: string): string[] {
  const labels = name.replace(/^\*\./u, '').split('.')
  return labels.map((_label, index) => labels.slice(index).join('.'))
}

export interface CaaQuestion {
  readonly name: string
  /** Records of the first name of `climb` that has any, or the response that ended the climb. */
  readonly records: Answer<readonly CaaRecord[]>
  /** The name that has the records. */
  readonly at: string
  /** RFC 8555 7.1.1: the names of the CA in CAA records; empty if it does not report them. */
  readonly identities: readonly string[]
  readonly challenge: ChallengeType
}

export function checkCaa({ name, records, at, identities, challenge }: CaaQuestion): Finding {
  const finding = findingsOf('caa', name)
  if ('fault' in records) {
    return finding.fail(
      `the CAA records of ${at} cannot be queried (${records.fault})`,
      'a CA rejects the name then: fix the name server, which must respond to CAA queries',
    )
  }
  const issuers = records.found.flatMap(({ issue }) => (issue === undefined ? [] : [issue]))
  const unknown = records.found.some((record) => isUnknownCritical(record))
  if (unknown) {
    return finding.fail(`${at} has a critical CAA record that CAs do not know`, `remove it from ${at}`)
  }
  if (issuers.length === 0) return finding.ok('no CAA record restricts it')
  const shown = issuers.map((issuer) => JSON.stringify(issuer)).join(', ')
  if (identities.length === 0) {
    return finding.warn(
      `the CAA records of ${at} allow ${shown}`,
      'the CA does not report its name in CAA records: compare with its documentation',
    )
  }
  const ours = issuers.map(parseIssuer).filter(({ domain }) => identities.includes(domain))
  const wanted = `add the record: ${at}. CAA 0 issue "${identities[0]}"`
  if (ours.length === 0) return finding.fail(`the CAA records of ${at} allow ${shown} alone`, wanted)
  const byUs = ours.filter(({ methods }) => methods === undefined || methods.includes(challenge))
  if (byUs.length === 0) {
    return finding.fail(
      `the CAA records of ${at} do not allow the challenge ${challenge}`,
      `allow it in validationmethods, or set tls.acme_challenge to one that is allowed`,
    )
  }
  return finding.ok(`the CAA records of ${at} allow the CA`)
}

/** Node's parser gives `critical` and one key for the tag; it drops the value of tags it does not know. */
function isUnknownCritical({ critical, ...tags }: CaaRecord): boolean {
  const known = ['issue', 'issuewild', 'iodef', 'contactemail', 'contactphone'].some((tag) => tag in tags)
  return (critical & CRITICAL) !== 0 && !known
}

/** `ca.example; validationmethods=http-01,tls-alpn-01` */
function parseIssuer(value: string): { domain: string; methods: readonly string[] | undefined } {
  const [domain = '', ...parameters] = value.split(';').map((part) => part.trim())
  const methods = parameters
    .map((parameter) => /^validationmethods\s*=\s*(.*)$/iu.exec(parameter)?.[1])
    .find((found) => found !== undefined)
  return { domain: domain.toLowerCase(), methods: methods?.split(',').map((method) => method.trim()) }
}
