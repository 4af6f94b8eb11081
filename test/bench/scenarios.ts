// What is measured, one scenario after the other; how often and beside whom is bench.ts's.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadResult } from './load.ts'
import { freshConnections, h2load, resume, steady, webSocketEcho } from './load.ts'
import type { Peer, PeerOptions, Running, Scene } from './peers.ts'
import { HTTP2_PEERS, PEERS } from './peers.ts'
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
  /** Comes first, instead of the load itself. */
  readonly warmUp?: Scenario['run']
  readonly run: (peer: Running, scene: Scene, seconds: number) => Promise<LoadResult>
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

/** What Chrome sends besides `:authority` and the like. */
const BROWSER_HEADERS = [
  'sec-ch-ua: "Google Chrome";v="143", "Chromium";v="143", "Not_A Brand";v="24"',
  'sec-ch-ua-mobile: ?0',
  'sec-ch-ua-platform: "Linux"',
  'upgrade-insecure-requests: 1',
  'user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36',
  'accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8',
  'sec-fetch-site: same-origin',
  'sec-fetch-mode: navigate',
  'sec-fetch-user: ?1',
  'sec-fetch-dest: document',
  'referer: https://bench.test/some/page?with=query',
  'accept-encoding: gzip, deflate, br, zstd',
  'accept-language: en-US,en;q=0.9,de;q=0.8',
  'cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1',
]

const multiplexed = async ({ port }: Running, _scene: Scene, seconds: number): Promise<LoadResult> =>
  await h2load({ port, path: '/', protocol: 'h2', connections: 8, streams: 10, seconds })

async function upload(
  protocol: 'h1' | 'h2',
  { port }: Running,
  { directory }: Scene,
  seconds: number,
): Promise<LoadResult> {
  const bodyPath = join(directory, 'body.bin')
  writeFileSync(bodyPath, Buffer.alloc(LARGE_MEGABYTES * MEGABYTE))
  return inMegabytes(await h2load({ port, path: '/upload', protocol, connections: 4, seconds, bodyPath }))
}

const kept = async ({ port }: Running, _scene: Scene, seconds: number): Promise<LoadResult> =>
  await h2load({ port, path: '/', protocol: 'h1', connections: 32, seconds })

export const SCENARIOS: readonly Scenario[] = [
  { name: 'HTTP/1.1 keep-alive, 0.5 KB', unit: 'request', peers: PEERS, workers: 1, seconds: 2, run: kept },
  {
    name: 'HTTP/1.1 keep-alive, 14 browser headers',
    unit: 'request',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) =>
      await h2load({
        port,
        path: '/',
        protocol: 'h1',
        connections: 32,
        seconds,
        headers: BROWSER_HEADERS,
      }),
  },
  {
    name: 'HTTP/2, 8 connections of 10 streams, 0.5 KB',
    unit: 'request',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 2,
    run: multiplexed,
  },
  {
    name: 'HTTP/2 without multiplexing, 40 connections, 0.5 KB',
    unit: 'request',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) =>
      await h2load({ port, path: '/', protocol: 'h2', connections: 40, seconds }),
  },
  {
    name: 'full handshake and one request',
    unit: 'connection',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) => await freshConnections(port, CONNECTION_RATE, seconds),
  },
  {
    name: 'resumed handshake and one request, 2 workers',
    unit: 'resumed connection',
    peers: PEERS,
    workers: 2,
    seconds: 2,
    run: async ({ port }, _scene, seconds) => await resume(port, seconds * 150),
  },
  {
    name: '100 KB JSON, HTTP/1.1 keep-alive',
    unit: 'request',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) =>
      await h2load({ port, path: '/json', protocol: 'h1', connections: 16, seconds }),
  },
  {
    name: '10 MB download, HTTP/1.1',
    unit: 'MB',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) =>
      inMegabytes(await h2load({ port, path: '/large', protocol: 'h1', connections: 4, seconds })),
  },
  {
    name: '10 MB download, HTTP/2',
    unit: 'MB',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) =>
      inMegabytes(await h2load({ port, path: '/large', protocol: 'h2', connections: 4, seconds })),
  },
  {
    name: '10 MB upload, HTTP/1.1',
    unit: 'MB',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    run: async (peer, scene, seconds) => await upload('h1', peer, scene, seconds),
  },
  {
    name: '10 MB upload, HTTP/2',
    unit: 'MB',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 2,
    run: async (peer, scene, seconds) => await upload('h2', peer, scene, seconds),
  },
  {
    name: 'WebSocket echo, 128 bytes',
    unit: 'message',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    run: async ({ port }, _scene, seconds) => await webSocketEcho(port, 20, seconds),
  },
  {
    name: `HTTP/1.1 at ${STEADY_RATE} requests/s, warm`,
    unit: 'request',
    peers: PEERS,
    workers: 1,
    seconds: 2,
    warmUp: kept,
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
    name: `HTTP/2 at ${STEADY_RATE} requests/s, warm`,
    unit: 'request',
    peers: HTTP2_PEERS,
    workers: 1,
    seconds: 2,
    warmUp: multiplexed,
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
    name: 'HTTP/1.1 keep-alive without access log',
    unit: 'request',
    peers: ['ours'],
    workers: 1,
    seconds: 2,
    config: { logging: { level: 'warn' } },
    run: kept,
  },
  {
    name: 'HTTP/1.1 keep-alive with 2 workers',
    unit: 'request',
    peers: ['ours', 'nginx'],
    workers: 2,
    seconds: 2,
    run: kept,
  },
  {
    name: 'refused by the rate limit',
    unit: 'refusal',
    peers: ['ours'],
    workers: 1,
    seconds: 2,
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
