// A command in a pseudo-terminal of its own, made by script(1), which every Debian has.
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { TestContext } from 'node:test'
import { Output } from '../output.ts'
import type { Exit, ProgramOptions } from '../program.ts'
import { childrenOf, commandLineOf, sessionMembers } from '../processes.ts'
import { waitFor } from '../wait.ts'

const CTRL_C = '\x03'

export class Terminal {
  readonly output = new Output()
  /** The end of script(1), with the command's exit code unless the terminal was closed. */
  readonly exited: Promise<Exit>
  readonly #script: ChildProcess
  /** The session that the command leads; 0 until the command runs. */
  #sessionId = 0

  private constructor(script: ChildProcess) {
    this.#script = script
    const { promise, resolve } = Promise.withResolvers<Exit>()
    this.exited = promise
    script.once('close', (code, signal) => {
      this.output.end()
      resolve({ code, signal })
    })
  }

  /** Opens a terminal, as a terminal emulator does, and runs a shell command in it. */
  static async open(t: TestContext, command: string, options: ProgramOptions = {}): Promise<Terminal> {
    const args = ['--quiet', '--return', '--flush', '--command', command, '/dev/null']
    const script = spawn('script', args, { ...options, stdio: ['pipe', 'pipe', 'inherit'] })
    const terminal = new Terminal(script)
    terminal.output.collect(script.stdout)
    // A key typed after the end is nobody's.
    script.stdin.on('error', () => {})
    t.after(() => terminal.#cleanUp(t))
    terminal.#sessionId = await waitFor(
      'the command to run in its terminal',
      () => childrenOf(script.pid ?? 0)[0],
    )
    return terminal
  }

  /** Living processes of the terminal's session. */
  processes(): number[] {
    return sessionMembers(this.#sessionId)
  }

  pressCtrlC(): void {
    this.#script.stdin?.write(CTRL_C)
  }

  /** As closing the window does: the kernel hangs up, whoever reads or writes the terminal gets an error. */
  close(): void {
    this.#script.kill('SIGKILL')
  }

  /** Fails unless every process of the session ends by itself. */
  async waitUntilEmpty(timeoutMs = 15_000): Promise<void> {
    await waitFor(
      'every process of the terminal to be gone',
      () => {
        const left = this.processes()
        if (left.length === 0) return true
        throw new Error(left.map((pid) => `${pid}: ${commandLineOf(pid)}`).join('\n'))
      },
      timeoutMs,
    )
  }

  #cleanUp(t: TestContext): void {
    this.#script.kill('SIGKILL')
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL')
    if (!t.passed) process.stderr.write(`--- terminal\n${this.output.text}\n---\n`)
  }
}
