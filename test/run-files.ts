// Runs test files, each in a process of its own, until all are through or the run is aborted. A file that an abort
// kept from its end is not run, neither failed nor passed. No process that a test started outlives the run.
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

export interface RunOptions {
  readonly cwd: string
  /** Files at a time. */
  readonly concurrency: number
  readonly testTimeoutMs: number
  /** Ends the run. */
  readonly signal: AbortSignal
  readonly onFile?: (file: string, durationMs: number) => void
}

export interface Totals {
  /** Tests, not files. */
  readonly passed: number
  readonly failed: number
  /** Files that the abort kept from running to their end. */
  readonly notRun: readonly string[]
}

/** Inherited by every process of the run; one that a test starts with an empty environment is not found by it. */
const MARK = 'TEST_RUNS'

/** The report of the tests goes to stdout. */
export async function runTestFiles(files: readonly string[], options: RunOptions): Promise<Totals> {
  if (files.length === 0) return { passed: 0, failed: 0, notRun: [] }
  if (options.signal.aborted) return { passed: 0, failed: 0, notRun: files }
  const id = randomUUID()
  const outer = process.env[MARK]
  process.env[MARK] = outer === undefined ? id : `${outer},${id}`
  try {
    return await runMarked(files, options)
  } finally {
    killMarked(id)
    if (outer === undefined) delete process.env[MARK]
    else process.env[MARK] = outer
  }
}

async function runMarked(files: readonly string[], options: RunOptions): Promise<Totals> {
  const { cwd, concurrency, testTimeoutMs, signal, onFile } = options
  const notRun: string[] = []
  let [passed, unsuccessful] = [0, 0]
  const events = run({
    cwd,
    files: [...files],
    concurrency,
    timeout: testTimeoutMs,
    signal,
    // A test that timed out may have left something open that would keep its process alive.
    forceExit: true,
  })
  events.on('test:summary', ({ file, counts, success, duration_ms: durationMs }) => {
    // One summary for each file, and one without a file for all of them.
    if (file !== undefined) {
      onFile?.(file, durationMs)
      return
    }
    passed = counts.passed
    unsuccessful = success ? 0 : Math.max(1, counts.tests - counts.passed - counts.skipped - counts.todo)
  })
  const reported = events.filter((event) => {
    const file = event.type === 'test:fail' ? abortedFile(event.data) : undefined
    if (file !== undefined) notRun.push(file)
    return file === undefined
  })
  for await (const text of reported.compose(new spec())) process.stdout.write(text)
  return { passed, failed: Math.max(0, unsuccessful - notRun.length), notRun }
}

/** The path of a whole file that an abort ended or kept from beginning. */
function abortedFile({ file, name, nesting, details }: FailedTest): string | undefined {
  if (nesting !== 0 || file === undefined || file !== name) return undefined
  return 'failureType' in details.error && details.error.failureType === 'testAborted' ? file : undefined
}

interface FailedTest {
  readonly file?: string | undefined
  readonly name: string
  readonly nesting: number
  readonly details: { readonly error: Error }
}

function killMarked(id: string): void {
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, 'latin1').split('\0')
      if (environment.some((item) => item.startsWith(`${MARK}=`) && item.includes(id)))
        process.kill(pid, 'SIGKILL')
    } catch {
      // It is gone, or another account's.
    }
  }
}
