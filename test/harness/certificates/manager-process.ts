// The test's end of manager-main.ts: a supervisor reduced to its certificates, to be killed and stopped.
import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import { stateOf } from '../processes.ts'
import type { FromManager, ManagerOutcome, ManagerRun, ToManager } from './messages.ts'

/** Puts challenges where the CA looks, in place of those before. */
export type ArmChallenges = (challenges: readonly ArmedChallenge[]) => void

export class ManagerProcess {
  /** `step detail` of the run under way. */
  progress: string[] = []
  /** See ManagerRun. */
  takenForDead: readonly number[] | undefined
  readonly #child: ChildProcess
  readonly #arm: ArmChallenges
  readonly #booted = Promise.withResolvers<void>()
  readonly #exited = Promise.withResolvers<NodeJS.Signals | undefined>()
  #outcome = Promise.withResolvers<ManagerOutcome>()

  /** Killed when the test is over. */
  constructor(t: TestContext, arm: ArmChallenges) {
    this.#arm = arm
    this.#child = fork(join(import.meta.dirname, 'manager-main.ts'), {
      serialization: 'advanced',
      execArgv: [],
    })
    this.#child.on('message', (message: FromManager) => this.#onMessage(message))
    this.#child.on('exit', (_code, signal) => this.#exited.resolve(signal ?? undefined))
    t.after(async () => {
      this.#child.kill('SIGKILL')
      await this.#exited.promise
    })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  get isStopped(): boolean {
    return stateOf(this.pid) === 'T'
  }

  /** One at a time. Undefined when the process was killed; rejects if it ended otherwise. */
  async run(run: Omit<ManagerRun, 'takenForDead'>): Promise<ManagerOutcome | undefined> {
    await Promise.race([this.#booted.promise, this.#killed()])
    this.progress = []
    this.#outcome = Promise.withResolvers()
    this.#tell({ type: 'run', run: { ...run, takenForDead: this.takenForDead } })
    return await Promise.race([this.#outcome.promise, this.#killed()])
  }

  get isWaiting(): boolean {
    return this.progress.at(-1)?.startsWith('waiting') === true
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }

  async #killed(): Promise<undefined> {
    const signal = await this.#exited.promise
    if (signal !== 'SIGKILL') throw new Error(`the manager's process ended by itself (${signal ?? 'exit'})`)
  }

  #onMessage(message: FromManager): void {
    switch (message.type) {
      case 'booted':
        this.#booted.resolve()
        break
      case 'arm':
        this.#arm(message.challenges)
        this.#tell({ type: 'armed' })
        break
      case 'progress':
        this.progress.push(`${message.step} ${message.detail ?? ''}`.trimEnd())
        break
      case 'outcome':
        this.#outcome.resolve(message.outcome)
        break
    }
  }

  #tell(message: ToManager): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }
}
