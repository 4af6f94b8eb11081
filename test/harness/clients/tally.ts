// What a load saw: counted by kind, so that a test can say what was done and that nothing failed.

export class Tally {
  readonly done: Record<string, number> = {}
  /** Clients asked to come again elsewhere, as the protocol has it: no failure. */
  readonly repeated: Record<string, number> = {}
  readonly failures: string[] = []

  ok(kind: string): void {
    this.done[kind] = (this.done[kind] ?? 0) + 1
  }

  again(kind: string): void {
    this.repeated[kind] = (this.repeated[kind] ?? 0) + 1
  }

  fail(kind: string, error: unknown): void {
    const code = error instanceof Error && 'code' in error ? ` ${String(error.code)}` : ''
    const message = error instanceof Error ? error.message : String(error)
    // The log of the proxy has what it did at that time.
    this.failures.push(`${new Date().toISOString()} ${kind}:${code} ${message}`)
  }

  /** Undefined when the work was done; else the failure is counted. */
  async count(kind: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      this.ok(kind)
    } catch (error) {
      this.fail(kind, error)
    }
  }

  toString(): string {
    return `${list(this.done)}; repeated: ${list(this.repeated) || 'none'}; failed: ${this.failures.length}`
  }
}

function list(counts: Record<string, number>): string {
  return Object.entries(counts)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ')
}
