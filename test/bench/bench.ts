// `pnpm bench [--quick] [WORD...]`: every scenario, or those whose name has one of the words, in interleaved rounds;
// prints a table, writes results.json, RESULTS.md and the plots.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../harness/ports.ts'
import { findProgram } from '../requirements.ts'
import { measureIdle, measureManySites } from './capacity.ts'
import { issueCertificate } from './certificates.ts'
import type { LoadResult } from './load.ts'
import type { Scene } from './peers.ts'
import { HOST, startPeer } from './peers.ts'
import { treeCpuUs, treePssBytes } from './process-tree.ts'
import type { BenchResults, Row } from './report.ts'
import { printScenario, writeReport } from './report.ts'
import type { Scenario } from './scenarios.ts'
import { SCENARIOS } from './scenarios.ts'

const NEEDED = ['h2load', 'nginx', 'haproxy', 'caddy']
const WARM_UP_PART = 0.3

const words = process.argv.slice(2).filter((word) => word !== '--')
const isQuick = words.includes('--quick')
const filters = words.filter((word) => word !== '--quick')
const rounds = isQuick ? 1 : 3

const missing = NEEDED.filter((program) => findProgram(program) === undefined)
if (missing.length > 0) {
  process.stderr.write(
    `missing ${missing.join(', ')}. On Debian: apt-get install nghttp2-client nginx haproxy caddy\n`,
  )
  process.exit(1)
}

const directory = mkdtempSync(join(tmpdir(), 'reverse-proxy-bench-'))
const upstream = spawn(process.execPath, [join(import.meta.dirname, 'upstream.ts')], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.once('exit', () => {
  upstream.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})
const [hello]: Buffer[] = await once(upstream.stdout, 'data')
const upstreamPort = Number(JSON.parse(String(hello)).port)
const certificate = await issueCertificate(directory, [HOST])

const results: BenchResults = { scenarios: [], capacity: [] }
for (const scenario of SCENARIOS) {
  if (!isWanted(scenario.name)) continue
  const rows = await measure(scenario)
  printScenario(scenario, rows)
  results.scenarios.push({ name: scenario.name, unit: scenario.unit, workers: scenario.workers, rows })
}
for (const [name, take] of [
  ['idle connections', measureIdle],
  ['10,000 sites', measureManySites],
] as const) {
  if (!isWanted(name)) continue
  const facts = await take({ directory, upstreamPort, certificate, isQuick })
  for (const [fact, value] of Object.entries(facts)) process.stdout.write(`${name}: ${fact}: ${value}\n`)
  results.capacity.push({ name, facts })
}
if (filters.length === 0) writeReport(results, isQuick)
process.exit(0)

function isWanted(name: string): boolean {
  return filters.length === 0 || filters.some((word) => name.includes(word))
}

/** The peers take turns, so that what the machine does meanwhile befalls all of them. */
async function measure(scenario: Scenario): Promise<Row[]> {
  const rows: Row[] = scenario.peers.map((peer) => ({ peer, rounds: [], latenciesMs: [] }))
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) await measureOnce(scenario, row)
  }
  return rows
}

async function measureOnce(scenario: Scenario, row: Row): Promise<void> {
  const scene: Scene = {
    directory: join(directory, row.peer),
    certPath: certificate.certPath,
    keyPath: certificate.keyPath,
    bothPath: certificate.bothPath,
    upstreamPort,
  }
  rmSync(scene.directory, { recursive: true, force: true })
  const port = await freePort()
  const { workers, config } = scenario
  const peer = await startPeer(row.peer, scene, { workers, port, ...(config && { config }) })
  try {
    const seconds = isQuick ? Math.min(2, scenario.seconds) : scenario.seconds
    await scenario.run(peer, scene, Math.max(1, Math.round(seconds * WARM_UP_PART)))
    const before = treeCpuUs(peer.pid)
    const load = await scenario.run(peer, scene, seconds)
    const cpuUs = treeCpuUs(peer.pid) - before
    addRound(row, load, cpuUs, treePssBytes(peer.pid))
  } finally {
    await peer.stop()
  }
}

function addRound(
  row: Row,
  { units, seconds, failed, latenciesMs = [] }: LoadResult,
  cpuUs: number,
  pssBytes: number,
): void {
  row.rounds.push({ cpuUsPerUnit: cpuUs / Math.max(1, units), perSecond: units / seconds, failed, pssBytes })
  row.latenciesMs.push(...latenciesMs)
}
