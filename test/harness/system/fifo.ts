// A named pipe whose reader reads when a test says so.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

const CHUNK_BYTES = 64 * 1024
const POLL_MS = 5

export class Fifo {
  readonly path: string
  #fd: number | undefined
  readonly #lines: string[] = []
  #partial = ''

  constructor(t: TestContext, path: string) {
    execFileSync('mkfifo', [path])
    this.path = path
    t.after(() => this.closeReader())
  }

  /** From now on there is a reader, which reads nothing by itself. */
  openReader(): void {
    this.#fd ??= openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK)
  }

  closeReader(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** Complete lines read so far. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Reads until `isEnough` is true of all lines so far. */
  async readUntil(
    what: string,
    isEnough: (lines: readonly string[]) => boolean,
    timeoutMs = 20_000,
  ): Promise<readonly string[]> {
    const deadlineMs = performance.now() + timeoutMs
    for (;;) {
      if (this.#readSome()) continue
      const { lines } = this
      if (isEnough(lines)) return lines
      if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what} in ${this.path}`)
      await sleep(POLL_MS)
    }
  }

  #readSome(): boolean {
    if (this.#fd === undefined) throw new Error('the pipe has no reader')
    const chunk = Buffer.alloc(CHUNK_BYTES)
    try {
      const count = readSync(this.#fd, chunk)
      const lines = (this.#partial + chunk.toString('latin1', 0, count)).split('\n')
      this.#partial = lines.pop() ?? ''
      this.#lines.push(...lines)
      return count > 0
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return false
      throw error
    }
  }
}
