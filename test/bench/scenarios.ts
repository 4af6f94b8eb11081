// What is measured, one scenario after the other; how often and beside whom is bench.ts's.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadResult } from './load.ts'
import { freshConnections, h2load, resume, steady, webSocketEcho } from './load.ts'
import type { Peer, PeerOptions, Running, Scene } from './peers.ts'
import { PEERS } from './peers.ts'
import { askAdmin } from '../harness/admin.ts'

export interface Scenario {
  readonly name: string
  /** What the CPU time is divided by. */
  readonly unit: string
  readonly peers: readonly Peer[]
  readonly workers: number
  readonly config?: PeerOptions['config']
  /** Of the load, in one round. */
  readonly seconds: number
  run(peer: Running, scene: Scene, seconds: number): Promise<LoadResult>
}

const MEGABYTE = 1024 * 1024
const LARGE_MEGABYTES = 10
/** Requests a second, well below what any peer can do on one core. */
const STEADY_RATE = 1_000

/** About 30 % of what two workers can do on two cores, if these also have the load and the upstream. */
const ROLLING_RATE = 1_500
const ROLL_PAUSE_MS = 500

/** New connections a second. */
const CONNECTION_RATE = 250

const kept = async ({ port }: Running, _scene: Scene, seconds: number): Promise<LoadResult> =>
  await h2load({ port, path: '/', protocol: 'h1', connections: 32, seconds })

const WITHOUT_HTTP2: ReadonlySet<Peer> = new Set(['http-proxy'])
const HTTP2_PEERS = PEERS.filter((peer) => !WITHOUT_HTTP2.has(peer))

export const SCENARIOS: readonly Scenario[] = [
  { name: 'HTTP/1.1 keep-alive, 0.5 KB', unit: 'request', peers: PEERS, workers: 1, seconds: 4, run: kept },
  {
    name: 'HTTP/2, 8 connections of 16 streams, 0.5 KB',
    unit: 'request',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, _scene, seconds) =>
      await h2load({ port, path: '/', protocol: 'h2', connections: 8, streams: 16, seconds }),
  },
  {
    name: 'full handshake and one request',
    unit: 'connection',
    peers: PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, _scene, seconds) => await freshConnections(port, CONNECTION_RATE, seconds),
  },
  {
    name: 'resumed handshake and one request, 2 workers',
    unit: 'resumed connection',
    peers: PEERS,
    workers: 2,
    seconds: 3,
    run: async ({ port }, _scene, seconds) => await resume(port, seconds * 150),
  },
  {
    name: '100 KB JSON, HTTP/1.1 keep-alive',
    unit: 'request',
    peers: PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, _scene, seconds) =>
      await h2load({ port, path: '/json', protocol: 'h1', connections: 16, seconds }),
  },
  {
    name: '10 MB download, HTTP/1.1',
    unit: 'MB',
    peers: PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, _scene, seconds) =>
      inMegabytes(await h2load({ port, path: '/large', protocol: 'h1', connections: 4, seconds })),
  },
  {
    name: '10 MB upload, HTTP/1.1',
    unit: 'MB',
    peers: PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, { directory }, seconds) => {
      const bodyPath = join(directory, 'body.bin')
      writeFileSync(bodyPath, Buffer.alloc(LARGE_MEGABYTES * MEGABYTE))
      return inMegabytes(
        await h2load({ port, path: '/upload', protocol: 'h1', connections: 4, seconds, bodyPath }),
      )
    },
  },
  {
    name: 'WebSocket echo, 128 bytes',
    unit: 'message',
    peers: PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, _scene, seconds) => await webSocketEcho(port, 20, seconds),
  },
  {
    name: `HTTP/1.1 at ${STEADY_RATE} requests/s`,
    unit: 'request',
    peers: PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, { directory }, seconds) =>
      await h2load({
        port,
        path: '/',
        protocol: 'h1',
        connections: 20,
        seconds,
        rate: STEADY_RATE,
        directory,
      }),
  },
  {
    name: `HTTP/2 at ${STEADY_RATE} requests/s`,
    unit: 'request',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 4,
    run: async ({ port }, { directory }, seconds) =>
      await h2load({
        port,
        path: '/',
        protocol: 'h2',
        connections: 10,
        streams: 10,
        seconds,
        rate: STEADY_RATE,
        directory,
      }),
  },
  {
    name: 'the same without access log',
    unit: 'request',
    peers: ['ours'],
    workers: 1,
    seconds: 4,
    config: { logging: { level: 'warn' } },
    run: kept,
  },
  {
    name: 'the same with 2 workers',
    unit: 'request',
    peers: ['ours', 'nginx'],
    workers: 2,
    seconds: 4,
    run: kept,
  },
  {
    name: 'refused by the rate limit',
    unit: 'refusal',
    peers: ['ours'],
    workers: 1,
    seconds: 4,
    config: { rate_limit: { requests_per_second: 1, burst: 1 } },
    run: async (peer, scene, seconds) => {
      const { failed, ...rest } = await kept(peer, scene, seconds)
      // What the load calls failed is what was to be measured.
      return { ...rest, units: failed, failed: 0 }
    },
  },
  {
    name: `five rolling restarts at ${ROLLING_RATE} requests/s, 2 workers`,
    unit: 'request',
    peers: ['ours'],
    workers: 2,
    seconds: 12,
    config: { shutdown_timeout_secs: 2 },
    run: async ({ port }, { directory }, seconds) => {
      const load = steady(port, ROLLING_RATE, seconds)
      await Promise.all([load, roll(directory, Math.max(1, Math.floor(seconds / 2) - 1))])
      return await load
    },
  },
]

/** One after the other, and a while after the last. */
async function roll(directory: string, times: number): Promise<void> {
  for (let count = 0; count < times; count++) {
    await sleep(ROLL_PAUSE_MS)
    const answer = await askAdmin(join(directory, 'admin.sock'), 'restart')
    if (answer.status !== 'ok') throw new Error(`a roll was refused: ${JSON.stringify(answer)}`)
  }
}

function inMegabytes(result: LoadResult): LoadResult {
  return { ...result, units: result.units * LARGE_MEGABYTES }
}
