// Temporary directories of a test.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A new empty directory, removed with everything in it when the test is over. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-test-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
