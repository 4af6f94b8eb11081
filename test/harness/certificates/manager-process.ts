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
  /** As soon as it waits for another process, its own timer jumps ahead by this. */
  hurryMs = 0
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

  get isStopped(): boolean {
    return stateOf(this.#child.pid ?? -1) === 'T'
  }

  /** One at a time. Undefined when the process was killed; rejects if it ended otherwise. */
  async run(run: ManagerRun): Promise<ManagerOutcome | undefined> {
    await Promise.race([this.#booted.promise, this.#killed()])
    this.progress = []
    this.#outcome = Promise.withResolvers()
    this.#tell({ type: 'run', run })
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

  /** Has its own timer (not its clock) jump ahead. */
  lapse(ms: number): void {
    this.#tell({ type: 'lapse', ms })
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
        if (this.isWaiting && this.hurryMs > 0) this.lapse(this.hurryMs)
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
