// Whether an order says which certificate it replaces (RFC 9773 5), which spares it the CA's rate limits,
// and whether a refusal may be for that. It must never be the reason for which a renewal fails.
import { AcmeError } from './acme-problem.ts'
import type { StoredCertificate } from './store.ts'

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

/** Types of which the same order without `replaces` would get the same refusal. */
const UNRELATED = new Set([
  'accountDoesNotExist',
  'caa',
  'externalAccountRequired',
  'invalidProfile',
  'rateLimited',
  'rejectedIdentifier',
  'serverInternal',
  'unsupportedIdentifier',
  'userActionRequired',
])
const STATUSES: readonly (number | undefined)[] = [400, 403, 404, 409]

/**
 * Whether a refused order is worth placing again without `replaces`. Named outright: alreadyReplaced, or the
 * field in the text. But not all CAs name it, and one request too many costs less than a certificate.
 */
export function mayBlameReplaces(error: unknown): boolean {
  if (!(error instanceof AcmeError) || error.answerStatus === undefined) return false
  const type = error.problem?.type ?? ''
  if (type === 'alreadyReplaced' || /\breplaces?\b/iu.test(error.problem?.detail ?? '')) return true
  return STATUSES.includes(error.answerStatus) && !UNRELATED.has(type)
}
