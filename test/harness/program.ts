// A program under test: a child in a process group of its own, its output kept, and the promise that
// no process of the group outlives the test.
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { TestContext } from 'node:test'
import { Output } from './output.ts'
import { commandLineOf, groupMembers } from './processes.ts'
import { waitFor } from './wait.ts'

/** After its own deadline, how long a program may take to be gone when a test is over. */
const STOP_MS = 60_000

// A test file that is cut short (its time is up) takes its programs with it.
const running = new Set<number>()
process.on('exit', () => {
  for (const groupId of running) kill(-groupId)
})

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

export class Program {
  readonly stdout = new Output()
  readonly stderr = new Output()
  /** Resolves when the program has exited and its output has been read to the end. */
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  #exit: Exit | undefined

  /** Starts `file`; when the test is over it is stopped with SIGTERM, and nothing of it may be left. */
  constructor(t: TestContext, file: string, args: readonly string[], options: ProgramOptions = {}) {
    const child = spawn(file, args, { ...options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.stdout.collect(child.stdout)
    this.stderr.collect(child.stderr)
    if (child.pid !== undefined) running.add(child.pid)
    const { promise, resolve, reject } = Promise.withResolvers<Exit>()
    this.exited = promise
    // Who does not wait for the end learns of a failed start by the missing output.
    promise.catch(() => {})
    child.once('error', reject)
    child.once('close', (code, signal) => {
      this.#exit = { code, signal }
      this.stdout.end()
      this.stderr.end()
      resolve(this.#exit)
    })
    t.after(async () => await this.#cleanUp(t))
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the program could not be started')
    return this.#child.pid
  }

  get hasExited(): boolean {
    return this.#exit !== undefined
  }

  /** Living processes of the program, itself included. */
  processes(): number[] {
    return groupMembers(this.pid)
  }

  /** To the program alone, as `kill PID` does. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Signals the program and resolves when it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.signal(signal)
    return await this.exited
  }

  /** Fails when a process of the program is still there shortly after it exited. */
  async assertNoProcessLeft(): Promise<void> {
    await waitFor(
      'every process of the program to be gone',
      () => {
        const left = this.processes()
        if (left.length === 0) return true
        throw new Error(left.map((pid) => `${pid}: ${commandLineOf(pid)}`).join('\n'))
      },
      20_000,
    )
  }

  async #cleanUp(t: TestContext): Promise<void> {
    if (this.#child.pid === undefined) return
    try {
      if (!this.hasExited) kill(this.pid, 'SIGTERM')
      await waitFor('the program to stop after SIGTERM', () => this.hasExited, STOP_MS)
      await this.assertNoProcessLeft()
    } finally {
      kill(-this.pid)
      running.delete(this.pid)
      if (!t.passed) this.#printOutput()
    }
  }

  #printOutput(): void {
    process.stderr.write(
      `--- ${this.#child.spawnargs.join(' ')}\n${this.stdout.text}${this.stderr.text}---\n`,
    )
  }
}

function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone in the meantime.
  }
}
