// Temporary directories of a test.
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Of one test (its context), or of all tests of a file (the module node:test). */
export interface Lifetime {
  after(act: () => Promise<void> | void): void
}

/** A new empty directory, removed with everything in it when the test is over. */
export function temporaryDirectory(t: Lifetime): string {
  const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-test-'))
  // Again where a program of the test is just writing: it is ended after this.
  t.after(async () => await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))
  return directory
}
