// Proves to a CA that names are ours, by one challenge type. An order knows this interface only: where the proof is
// put, in every worker or in the DNS, is the solver's.
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'

/** One name to prove: RFC 8555 8. */
export interface Challenge {
  /** Lower case; `*.example.com` for a wildcard. */
  readonly name: string
  readonly token: string
  readonly keyAuthorization: string
}

export interface ChallengeSolver {
  /** As the CA calls it: `tls-alpn-01`. */
  readonly type: string
  /** Tells the operator what to do when the CA sees no proof. */
  readonly hint: string
  /** False for a name that this type cannot prove, such as a wildcard (RFC 8555 7.1.3). */
  supports(name: string): boolean
  /** Replaces what is presented; resolves when the CA can see every proof. Rejects with the reason of `signal`. */
  present(challenges: readonly Challenge[], signal: AbortSignal): Promise<void>
  /** Removes every proof. Idempotent; never rejects. */
  cleanup(): Promise<void>
}

/** The workers of one listener, as the solvers whose proofs they hold see them. */
export interface ChallengeWorkers {
  /** Replaces what every worker can prove; resolves when each has acknowledged. */
  arm(challenges: readonly ArmedChallenge[]): Promise<void>
  /** Leaves nothing armed. Never rejects. */
  disarm(): Promise<void>
}

export function isWildcard(name: string): boolean {
  return name.startsWith('*.')
}
