// What a child process prints, kept whole, and waiting for a line of it.
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

interface Waiter {
  readonly pattern: RegExp
  resolve(match: RegExpExecArray): void
  reject(error: Error): void
}

export class Output {
  readonly #waiters = new Set<Waiter>()
  readonly #lines: string[] = []
  #partial = ''
  #ended = false

  /** Complete lines so far, without their newlines. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Everything so far. */
  get text(): string {
    return [...this.#lines, this.#partial].join('\n')
  }

  /** Adds one more stream to what is collected. */
  collect(stream: Readable): void {
    const decoder = new StringDecoder('utf8')
    stream.on('data', (chunk: Buffer) => this.#append(decoder.write(chunk)))
  }

  /** No more will come: whoever still waits is told. */
  end(): void {
    this.#ended = true
    for (const waiter of this.#waiters) waiter.reject(this.#inVain(waiter.pattern, 'the process ended'))
  }

  /** The first complete line, past or future, that matches; rejects when the process ends or time is up. */
  async waitForLine(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    const past = firstMatch(this.#lines, pattern)
    if (past !== undefined) return past
    if (this.#ended) throw this.#inVain(pattern, 'the process ended')
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const waiter = { pattern, resolve, reject }
    this.#waiters.add(waiter)
    const timer = setTimeout(() => reject(this.#inVain(pattern, `${timeoutMs} ms had passed`)), timeoutMs)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiters.delete(waiter)
    }
  }

  #append(text: string): void {
    const lines = (this.#partial + text).split('\n')
    this.#partial = lines.pop() ?? ''
    this.#lines.push(...lines)
    for (const waiter of this.#waiters) {
      const match = firstMatch(lines, waiter.pattern)
      if (match !== undefined) waiter.resolve(match)
    }
  }

  #inVain(pattern: RegExp, when: string): Error {
    return new Error(`no line matched ${pattern} before ${when}; the output was:\n${this.text}`)
  }
}

function firstMatch(lines: readonly string[], pattern: RegExp): RegExpExecArray | undefined {
  for (const line of lines) {
    const match = pattern.exec(line)
    if (match !== null) return match
  }
  return undefined
}
