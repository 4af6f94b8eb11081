// Where a run of the benchmark writes.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BenchResults } from '../../bench/report.ts'
import { reportDirectory, writeReport } from '../../bench/report.ts'
import { temporaryDirectory } from '../../harness/directory.ts'

const BENCH = join(import.meta.dirname, '../../bench')

test('bench --quick: writes into a directory that git ignores, and nowhere else', async (t) => {
  const quick = reportDirectory(true)
  assert.equal(quick, join(BENCH, 'quick'))
  assert.match(readFileSync(join(BENCH, '../../.gitignore'), 'utf8'), /^test\/bench\/quick\/$/m)

  const committed = (): string[] =>
    globSync(['*.{md,json}', 'plots/*'], { cwd: BENCH }).map((path) =>
      readFileSync(join(BENCH, path), 'utf8'),
    )
  const before = committed()
  const target = temporaryDirectory(t)
  const rounds = [{ cpuUsPerUnit: 1, perSecond: 1, failed: 0, pssBytes: 1 }]
  const results: BenchResults = {
    scenarios: [
      { name: 'one', unit: 'request', workers: 1, rows: [{ peer: 'ours', rounds, latenciesMs: [1] }] },
    ],
    capacity: [],
  }
  writeReport(results, true, target)
  assert.deepEqual(globSync('**/*.*', { cwd: target }).toSorted(), [
    'measured.md',
    'plots/01.svg',
    'results.json',
  ])
  assert.deepEqual(committed(), before)
})
