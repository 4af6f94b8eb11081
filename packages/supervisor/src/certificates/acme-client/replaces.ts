// Whether an order says which certificate it replaces (RFC 9773 5), which spares it the CA's rate limits,
// and whether a refusal may be for that. It must never be the reason for which a renewal fails.
import { AcmeError } from './transport/problem.ts'
import type { StoredCertificate } from '../certificate.ts'

/** RFC 6585 4 */
const TOO_MANY_REQUESTS = 429

export interface Successor {
  readonly directoryUrl: string
  readonly accountUrl: string | undefined
  readonly names: readonly string[]
}

/** CAs refuse an order that replaces what they have not issued to the same account for one of the same names. */
export function mayReplace({ origin, accountUrl, facts }: StoredCertificate, successor: Successor): boolean {
  if (origin !== successor.directoryUrl || accountUrl === undefined) return false
  return accountUrl === successor.accountUrl && successor.names.some((name) => facts.names.includes(name))
}

/**
 * Whether an order is worth placing again without `replaces`: after every failure but one that the CA
 * puts down to names, and a rate limit, which the second order would only make worse. CAs fail at the field in ways that do not name it (500, a timeout), and one request
 * too many costs less than a certificate.
 */
export function mayBlameReplaces(error: unknown): boolean {
  if (!(error instanceof AcmeError) || !error.reachedCa) return false
  const type = error.problem?.type ?? ''
  if (type === 'alreadyReplaced' || /\breplaces?\b/iu.test(error.problem?.detail ?? '')) return true
  // A name that the CA refuses stays refused.
  if (error.failedNames.length > 0) return false
  return type !== 'rateLimited' && error.responseStatus !== TOO_MANY_REQUESTS
}
