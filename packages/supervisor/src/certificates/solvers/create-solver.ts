// The solver of each challenge type that can be configured.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { ChallengeType } from '@reverse-proxy/shared/config/config'
import type { CertificateJobs } from '../crypto/jobs.ts'
import { Http01Solver } from './http-01.ts'
import type { ChallengeSolver, ChallengeWorkers } from './solver.ts'
import { TlsAlpn01Solver } from './tls-alpn-01.ts'

export function createSolver(
  type: ChallengeType,
  workers: ChallengeWorkers,
  jobs: CertificateJobs,
): ChallengeSolver {
  switch (type) {
    case 'tls-alpn-01':
      return new TlsAlpn01Solver(workers, jobs)
    case 'http-01':
      return new Http01Solver(workers)
    default:
      return assertNever(type)
  }
}
