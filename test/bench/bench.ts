// `pnpm bench [--quick] [WORD...]`: every scenario, or those whose name has one of the words, in interleaved rounds;
// prints a table, and of a whole run writes results.json, measured.md and the plots. Quick is for a look: fewer
// peers, one short round; it writes into test/bench/quick/, which is not committed.
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
import type { Peer, Running, Scene } from './peers.ts'
import { HOST, startPeer } from './peers.ts'
import { treeCpuUs, treePssBytes } from './process-tree.ts'
import type { BenchResults, Row } from './report.ts'
import { printScenario, reportDirectory, writeReport } from './report.ts'
import type { Scenario } from './scenarios.ts'
import { SCENARIOS } from './scenarios.ts'

const NEEDED = ['h2load', 'nginx', 'haproxy', 'caddy']
/** A just-in-time compiler is not done after the first request. */
const WARM_UP_SECS = 3
const QUICK_SECS = 1
const QUICK_PEERS: ReadonlySet<Peer> = new Set(['ours', 'nginx', 'caddy'])

const words = process.argv.slice(2).filter((word) => word !== '--')
const isQuick = words.includes('--quick')
const filters = words.filter((word) => word !== '--quick')
const rounds = isQuick ? 1 : 7

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
if (filters.length === 0) {
  const target = reportDirectory(isQuick)
  writeReport(results, isQuick, target)
  process.stdout.write(`Written to ${target}\n`)
}
process.exit(0)

function isWanted(name: string): boolean {
  return filters.length === 0 || filters.some((word) => name.includes(word))
}

interface Contender {
  readonly row: Row
  readonly scene: Scene
  readonly running: Running
}

/** All are started, and then take turns, so that what the machine does meanwhile befalls all of them. */
async function measure(scenario: Scenario): Promise<Row[]> {
  const peers = scenario.peers.filter((peer) => !isQuick || QUICK_PEERS.has(peer))
  const contenders: Contender[] = []
  for (const peer of peers) contenders.push(await start(scenario, peer))
  try {
    const warmUp = scenario.warmUp ?? scenario.run
    for (const { running, scene } of contenders)
      await warmUp(running, scene, isQuick ? QUICK_SECS : WARM_UP_SECS)
    for (let round = 0; round < rounds; round++) {
      for (const contender of contenders) await measureOnce(scenario, contender)
    }
  } finally {
    for (const { running } of contenders) await running.stop()
  }
  return contenders.map(({ row }) => row)
}

async function start({ workers, config }: Scenario, peer: Peer): Promise<Contender> {
  const { certPath, keyPath, bothPath } = certificate
  const scene: Scene = { directory: join(directory, peer), certPath, keyPath, bothPath, upstreamPort }
  rmSync(scene.directory, { recursive: true, force: true })
  const port = await freePort()
  const running = await startPeer(peer, scene, { workers, port, ...(config && { config }) })
  return { row: { peer, rounds: [], latenciesMs: [] }, scene, running }
}

async function measureOnce(scenario: Scenario, { row, scene, running }: Contender): Promise<void> {
  const seconds = isQuick ? Math.min(QUICK_SECS, scenario.seconds) : scenario.seconds
  const before = treeCpuUs(running.pid)
  const load = await scenario.run(running, scene, seconds)
  addRound(row, load, treeCpuUs(running.pid) - before, treePssBytes(running.pid))
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
