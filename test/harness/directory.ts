// Temporary directories of a test.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Of one test (its context), or of all tests of a file (the module node:test). */
export interface Lifetime {
  after(act: () => Promise<void> | void): void
}

/** A new empty directory, removed with everything in it when the test is over. */
export function temporaryDirectory(t: Lifetime): string {
  const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-test-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
