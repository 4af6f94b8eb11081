// What a run of the benchmark leaves behind: a table on the terminal, results.json, RESULTS.md and a plot for each
// scenario.
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Facts } from './capacity.ts'
import type { Peer } from './peers.ts'
import type { Scenario } from './scenarios.ts'

export interface Round {
  readonly cpuUsPerUnit: number
  readonly perSecond: number
  readonly failed: number
  readonly pssBytes: number
}

export interface Row {
  readonly peer: Peer
  readonly rounds: Round[]
  readonly latenciesMs: number[]
}

interface ScenarioResult {
  readonly name: string
  readonly unit: string
  readonly workers: number
  readonly rows: readonly Row[]
}

export interface BenchResults {
  readonly scenarios: ScenarioResult[]
  readonly capacity: { readonly name: string; readonly facts: Facts }[]
}

const HERE = import.meta.dirname

export function printScenario(
  { name, unit, workers }: Pick<Scenario, 'name' | 'unit' | 'workers'>,
  rows: readonly Row[],
): void {
  process.stdout.write(`\n${name} (${workers} worker${workers === 1 ? '' : 's'})\n`)
  const table = rows.map((row) => ({
    peer: row.peer,
    [`CPU us/${unit}`]: median(row.rounds.map(({ cpuUsPerUnit }) => cpuUsPerUnit)).toFixed(1),
    spread: spread(row),
    [`${unit}s/s`]: Math.round(median(row.rounds.map(({ perSecond }) => perSecond))),
    ...(row.latenciesMs.length > 0 && { 'p50/p99/p99.9/max ms': quantiles(row.latenciesMs) }),
    failed: row.rounds.reduce((sum, { failed }) => sum + failed, 0),
    'PSS MB': (median(row.rounds.map(({ pssBytes }) => pssBytes)) / 1024 / 1024).toFixed(0),
    'ours = 1': ratioToOurs(row, rows),
  }))
  // oxlint-disable-next-line no-console -- a table is what it is for
  console.table(table)
}

/** A quick run leaves the committed results alone. */
export function reportDirectory(isQuick: boolean): string {
  return isQuick ? join(HERE, 'quick') : HERE
}

export function writeReport({ scenarios, capacity }: BenchResults, isQuick: boolean, target: string): void {
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 1024 ** 3)} GB, Linux ${release()}, Node ${process.versions.node}`
  const date = new Date().toISOString().slice(0, 10)
  const compact = scenarios.map(({ rows, ...rest }) => ({
    ...rest,
    rows: rows.map(({ latenciesMs, ...row }) => ({
      ...row,
      latency: latenciesMs.length === 0 ? null : quantiles(latenciesMs),
    })),
  }))
  mkdirSync(join(target, 'plots'), { recursive: true })
  writeFileSync(
    join(target, 'results.json'),
    `${JSON.stringify({ date, machine, isQuick, scenarios: compact, capacity }, undefined, 2)}\n`,
  )
  const parts = scenarios.map((scenario, index) => {
    const file = `plots/${String(index + 1).padStart(2, '0')}.svg`
    writeFileSync(join(target, file), plot(scenario))
    return `${section(scenario)}\n![${scenario.name}](${file})\n`
  })
  const facts = capacity.map(({ name, facts: list }) => {
    const rows = Object.entries(list).map(([fact, value]) => `| ${fact} | ${value} |`)
    return `## ${name}\n\n| | |\n|---|---|\n${rows.join('\n')}\n`
  })
  writeFileSync(
    join(target, 'measured.md'),
    `# Measured\n\n${date}, ${machine}${isQuick ? ', quick run' : ''}. Made by \`pnpm bench\`; RESULTS.md says what it means.\n\n${[...parts, ...facts].join('\n')}`,
  )
}

function section({ name, unit, workers, rows }: ScenarioResult): string {
  const hasLatency = rows.some(({ latenciesMs }) => latenciesMs.length > 0)
  const head = [
    '',
    `CPU us/${unit}`,
    'spread',
    'against ours',
    `${unit}s/s`,
    ...(hasLatency ? ['p50 / p99 / p99.9 / max ms'] : []),
    'failed',
    'PSS MB',
  ]
  const lines = rows.map((row) => [
    row.peer,
    median(row.rounds.map(({ cpuUsPerUnit }) => cpuUsPerUnit)).toFixed(1),
    spread(row),
    ratioToOurs(row, rows),
    String(Math.round(median(row.rounds.map(({ perSecond }) => perSecond)))),
    ...(hasLatency ? [quantiles(row.latenciesMs)] : []),
    String(row.rounds.reduce((sum, { failed }) => sum + failed, 0)),
    (median(row.rounds.map(({ pssBytes }) => pssBytes)) / 1024 / 1024).toFixed(0),
  ])
  const table = [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`)
  return `## ${name}\n\n${workers} worker${workers === 1 ? '' : 's'}, ${rows[0]?.rounds.length ?? 0} rounds.\n\n${table.join('\n')}\n`
}

/** Bars of CPU time, with a mark for each round. */
function plot({ name, unit, rows }: ScenarioResult): string {
  const width = 640
  const barHeight = 26
  const left = 110
  const top = 40
  const most = Math.max(...rows.flatMap(({ rounds }) => rounds.map(({ cpuUsPerUnit }) => cpuUsPerUnit)), 1e-9)
  const scale = (value: number): number => (value / most) * (width - left - 90)
  const bars = rows.map(({ peer, rounds }, index) => {
    const y = top + index * (barHeight + 8)
    const middle = median(rounds.map(({ cpuUsPerUnit }) => cpuUsPerUnit))
    const marks = rounds.map(
      ({ cpuUsPerUnit }) =>
        `<circle cx="${(left + scale(cpuUsPerUnit)).toFixed(1)}" cy="${y + barHeight / 2}" r="2.5" fill="#1a2118"/>`,
    )
    return `<text x="${left - 8}" y="${y + 17}" text-anchor="end">${peer}</text><rect x="${left}" y="${y}" width="${scale(middle).toFixed(1)}" height="${barHeight}" rx="3" fill="${peer === 'ours' ? '#1f6f3f' : '#b9c4b4'}"/>${marks.join('')}<text x="${(left + scale(most) + 12).toFixed(1)}" y="${y + 17}">${middle.toFixed(1)}</text>`
  })
  const height = top + rows.length * (barHeight + 8) + 8
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="#1a2118"><rect width="${width}" height="${height}" fill="#fff"/><text x="12" y="22" font-size="15" font-weight="600">${name}: CPU us per ${unit}</text>${bars.join('')}</svg>\n`
}

function ratioToOurs(row: Row, rows: readonly Row[]): string {
  const ours = rows.find(({ peer }) => peer === 'ours')
  if (ours === undefined) return ''
  const cost = (one: Row): number => median(one.rounds.map(({ cpuUsPerUnit }) => cpuUsPerUnit))
  return (cost(ours) / cost(row)).toFixed(2)
}

function spread({ rounds }: Row): string {
  const costs = rounds.map(({ cpuUsPerUnit }) => cpuUsPerUnit)
  return `${Math.min(...costs).toFixed(1)} to ${Math.max(...costs).toFixed(1)}`
}

function quantiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (part: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN).toFixed(1)
  return `${at(0.5)} / ${at(0.99)} / ${at(0.999)} / ${at(1)}`
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
