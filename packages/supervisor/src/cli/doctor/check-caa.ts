// Checks that the CAA records of a name allow the CA: RFC 8659, and the parameters of RFC 8657. Pure.
import type { CaaRecord } from 'node:dns'
import type { ChallengeType } from '@reverse-proxy/shared/config/config'
import type { Finding } from './finding.ts'
import { findingsOf } from './finding.ts'
import type { Answer } from './probes.ts'

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
