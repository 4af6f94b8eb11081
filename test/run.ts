// `pnpm test [--long] [WORD...]`: every test file, or those whose path contains one of the words.
// All files in one pass, those of the whole program first: they take longest, and what runs last should be short.
// The long run then measures, at the everyday size, what the other tests cover; that costs them a third of their time.
import { spawnSync } from 'node:child_process'
import { globSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { provideRequirements } from './requirements.ts'
import { runTestFiles, type Totals } from './run-files.ts'

const ROOT = join(import.meta.dirname, '..')
const COVERAGE_DIRECTORY = join(ROOT, 'coverage')
const RUNTIME_MAJOR = '26'

/** Test files at a time: they wait more than they compute. */
const CONCURRENCY = 4
/** At full size they take ten minutes and more: begun last, each would make the run longer. */
const LONGEST = ['soak', 'crash-anywhere', 'virtual-year']
/** For a test that does not name its own. */
const TEST_TIMEOUT_MS = 120_000
const LONG_TEST_TIMEOUT_MS = 2_400_000
/** For everything: what hangs must not hang whoever waits for the answer. */
const RUN_TIMEOUT_MS = 1_500_000
const SLOWEST_SHOWN = 15
const LONG_RUN_TIMEOUT_MS = 3_600_000

/** Percent of lines, functions and branches that the tests without the whole program must reach in the long run. */
const COVERAGE_THRESHOLDS = { lines: 95, functions: 95, branches: 85 }

/** Of each test file, in the order they ended. */
const durations: { readonly file: string; readonly durationMs: number }[] = []

const words = process.argv.slice(2).filter((argument) => argument !== '--')
const long = words.includes('--long')
const filters = words.filter((word) => word !== '--long')
const limit = AbortSignal.timeout(long ? LONG_RUN_TIMEOUT_MS : RUN_TIMEOUT_MS)
const interruption = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => interruption.abort())
process.exitCode = await main()

async function main(): Promise<number> {
  const [major] = process.versions.node.split('.')
  if (major !== RUNTIME_MAJOR) {
    return refuse(
      `Tests run on Node ${RUNTIME_MAJOR}, this is ${process.versions.node}: type \`npx -y pnpm@12 test\``,
    )
  }
  const missing = provideRequirements()
  if (missing !== undefined) return refuse(missing)
  // Read by the tests that can do more when there is time.
  if (long) process.env['REVERSE_PROXY_TEST_SIZE'] = 'full'

  const wholeFiles = select('test/{e2e,long}/**/*.test.ts')
  const otherFiles = [...select('test/integration/**/*.test.ts'), ...select('packages/*/test/**/*.test.ts')]
  if (wholeFiles.length + otherFiles.length === 0)
    return refuse(`No test file's path contains ${filters.join(' or ')}`)

  const isComplete = filters.length === 0
  const passes =
    isComplete && long
      ? [await runFiles(longestFirst([...wholeFiles, ...otherFiles])), await runWithCoverage(otherFiles)]
      : [await runFiles([...wholeFiles, ...otherFiles])]
  const covered = !isComplete || !long || reportCoverage()
  if (isComplete) reportSlowest()
  const sum = (kind: 'passed' | 'failed'): number => passes.reduce((total, pass) => total + pass[kind], 0)
  const [passed, failed] = [sum('passed'), sum('failed')]
  const notRun = passes.flatMap((pass) => pass.notRun)
  for (const file of notRun) process.stdout.write(`not run: ${relative(ROOT, file)}\n`)
  const rest =
    notRun.length === 0 ? '' : `, ${notRun.length} files not run: the run was aborted or reached its limit`
  process.stdout.write(`\n${passed} passed, ${failed} failed${rest}\n`)
  return failed === 0 && notRun.length === 0 && covered ? 0 : 1
}

function select(pattern: string): string[] {
  const files = globSync(pattern, { cwd: ROOT, exclude: (path) => path.includes('node_modules') }).toSorted()
  const wanted = files.filter(
    (file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
  )
  return wanted.map((file) => join(ROOT, file))
}

function longestFirst(files: readonly string[]): string[] {
  return [...files.filter(isLongest), ...files.filter((file) => !isLongest(file))]
}

function isLongest(file: string): boolean {
  return LONGEST.some((name) => file.includes(name))
}

async function runWithCoverage(files: readonly string[]): Promise<Totals> {
  rmSync(COVERAGE_DIRECTORY, { recursive: true, force: true })
  // Inherited by the processes of the test files, each of which writes what it covered.
  process.env['NODE_V8_COVERAGE'] = join(COVERAGE_DIRECTORY, 'tmp')
  delete process.env['REVERSE_PROXY_TEST_SIZE']
  try {
    return await runFiles(files)
  } finally {
    delete process.env['NODE_V8_COVERAGE']
  }
}

async function runFiles(files: readonly string[]): Promise<Totals> {
  return await runTestFiles(files, {
    cwd: ROOT,
    concurrency: CONCURRENCY,
    testTimeoutMs: long ? LONG_TEST_TIMEOUT_MS : TEST_TIMEOUT_MS,
    signal: AbortSignal.any([limit, interruption.signal]),
    onFile: (file, durationMs) => durations.push({ file: relative(ROOT, file), durationMs }),
  })
}

/** Prints the summary; false when a threshold is missed. */
function reportCoverage(): boolean {
  const thresholds = Object.entries(COVERAGE_THRESHOLDS).map(([name, percent]) => `--${name}=${percent}`)
  const { status } = spawnSync(
    process.execPath,
    [
      join(ROOT, 'node_modules/c8/bin/c8.js'),
      'report',
      `--temp-directory=${join(COVERAGE_DIRECTORY, 'tmp')}`,
      // As the tests load them. With their built copies, which some start, c8 counts each function twice.
      '--include=packages/*/src/**',
      '--reporter=text-summary',
      '--check-coverage',
      ...thresholds,
    ],
    { cwd: ROOT, stdio: 'inherit' },
  )
  return status === 0
}

/** Where the time went: the next who adds a test should see it. */
function reportSlowest(): void {
  const slowest = durations.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, SLOWEST_SHOWN)
  process.stdout.write('\nSlowest files\n')
  for (const { file, durationMs } of slowest)
    process.stdout.write(`${(durationMs / 1000).toFixed(1).padStart(7)} s  ${file}\n`)
}

function refuse(message: string): number {
  process.stderr.write(`${message}\n`)
  return 1
}
