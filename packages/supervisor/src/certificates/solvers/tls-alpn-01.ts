// RFC 8737: the CA connects to port 443 by TLS, and a worker presents a certificate that holds the proof.
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import type { CertificateJobs } from '../crypto/jobs.ts'
import type { Challenge, ChallengeSolver, ChallengeWorkers } from './solver.ts'
import { isWildcard } from './solver.ts'

export class TlsAlpn01Solver implements ChallengeSolver {
  readonly type = 'tls-alpn-01'
  readonly hint =
    'the CA must reach port 443 of each name on this machine: check DNS (A and AAAA), firewall, forwarding'
  readonly #workers: ChallengeWorkers
  readonly #jobs: CertificateJobs

  constructor(workers: ChallengeWorkers, jobs: CertificateJobs) {
    this.#workers = workers
    this.#jobs = jobs
  }

  supports(name: string): boolean {
    return !isWildcard(name)
  }

  async present(challenges: readonly Challenge[], signal: AbortSignal): Promise<void> {
    const armed = await Promise.all(
      challenges.map(async ({ name: serverName, keyAuthorization }): Promise<ArmedChallenge> => {
        const pair = await this.#jobs.run('createChallengePair', { serverName, keyAuthorization }, signal)
        return { type: this.type, serverName, ...pair }
      }),
    )
    await this.#workers.arm(armed)
  }

  async cleanup(): Promise<void> {
    await this.#workers.disarm()
  }
}
