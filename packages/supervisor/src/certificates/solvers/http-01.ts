// RFC 8555 8.3: the CA asks port 80 for a path that holds the token, and a worker sends the proof.
import type { Challenge, ChallengeSolver, ChallengeWorkers } from './solver.ts'
import { isWildcard } from './solver.ts'

export class Http01Solver implements ChallengeSolver {
  readonly type = 'http-01'
  readonly hint =
    'the CA must reach port 80 of each name on this machine: check DNS (A and AAAA), firewall, forwarding'
  readonly #workers: ChallengeWorkers

  constructor(workers: ChallengeWorkers) {
    this.#workers = workers
  }

  supports(name: string): boolean {
    return !isWildcard(name)
  }

  async present(challenges: readonly Challenge[]): Promise<void> {
    await this.#workers.arm(
      challenges.map(({ token, keyAuthorization }) => ({ type: this.type, token, keyAuthorization })),
    )
  }

  async cleanup(): Promise<void> {
    await this.#workers.disarm()
  }
}
