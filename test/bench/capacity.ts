// What is not a rate: the memory of idle connections, and what a very large configuration costs.
import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Router } from '../../packages/worker/dist/pipeline/router.js'
import { SiteContexts } from '../../packages/worker/dist/tls/contexts.js'
import { freePort } from '../harness/ports.ts'
import type { BenchCertificate } from './certificates.ts'
import { issueCertificate } from './certificates.ts'
import { h2load, holdIdle } from './load.ts'
import type { Peer, Running, Scene } from './peers.ts'
import { HOST, HTTP2_PEERS, PEERS, startPeer } from './peers.ts'
import { treeCpuUs, treePssBytes } from './process-tree.ts'

export interface CapacityOptions {
  readonly directory: string
  readonly upstreamPort: number
  readonly certificate: BenchCertificate
  readonly isQuick: boolean
}

export type Facts = Readonly<Record<string, string>>

/** After a first lot, which pays for what is there only once. */
export async function measureIdle(options: CapacityOptions): Promise<Facts> {
  const [first, more] = options.isQuick ? [100, 500] : [500, 5_000]
  const facts: Record<string, string> = {}
  for (const [protocol, title, peers] of [
    ['h1', 'HTTP/1.1', PEERS],
    ['h2', 'HTTP/2', HTTP2_PEERS],
  ] as const) {
    for (const name of peers) {
      const peer = await start(name, options, 1)
      const closers = [await holdIdle(peer.port, first, protocol)]
      const before = treePssBytes(peer.pid)
      closers.push(await holdIdle(peer.port, more, protocol))
      const eachBytes = (treePssBytes(peer.pid) - before) / more
      facts[`${name}, ${title}, KB each of ${more}`] = (eachBytes / 1024).toFixed(1)
      for (const close of closers) close()
      await peer.stop()
    }
  }
  return facts
}

/** 10,000 sites and 1,000 certificates against one of each. */
export async function measureManySites(options: CapacityOptions): Promise<Facts> {
  const [sites, certificates] = options.isQuick ? [1_000, 100] : [10_000, 1_000]
  const folder = join(options.directory, 'many')
  mkdirSync(folder, { recursive: true })
  const sitesEach = sites / certificates
  const hosts: string[] = []
  const pairs: { cert_path: string; key_path: string }[] = []
  for (let certificate = 0; certificate < certificates; certificate++) {
    const names = Array.from({ length: sitesEach }, (_, site) => `s${site}.c${certificate}.test`)
    hosts.push(...names)
    const { certPath, keyPath } = await issueCertificate(folder, names)
    pairs.push({ cert_path: certPath, key_path: keyPath })
  }
  const { certPath, keyPath } = options.certificate
  pairs.push({ cert_path: certPath, key_path: keyPath })
  const upstream = `127.0.0.1:${options.upstreamPort}`
  const port = await freePort()
  const listener = {
    bind_addr: '127.0.0.1',
    https_port: port,
    http_port: 0,
    tls: { mode: 'manual', certificates: pairs },
    sites: [...hosts, HOST].map((host) => ({ host, upstream })),
  }
  const one = await start('ours', options, 1)
  const oneUs = await costOf(one, options)
  await one.stop()
  const many = await startPeer('ours', sceneOf('ours', options), {
    workers: 1,
    port,
    config: { listeners: [listener] },
  })
  const manyUs = await costOf(many, options)
  const pssBytes = treePssBytes(many.pid)
  await many.stop()
  return {
    sites: String(hosts.length + 1),
    certificates: String(pairs.length),
    'start, ms (one site)': one.startMs.toFixed(0),
    'start, ms (all)': many.startMs.toFixed(0),
    'CPU a request, us (one site)': oneUs.toFixed(1),
    'CPU a request, us (all)': manyUs.toFixed(1),
    'routing, ns a lookup (all)': nsOf(lookupHosts(hosts)).toFixed(0),
    'certificate by server name, ns a lookup (all)': nsOf(
      lookupNames(
        pairs.map(({ cert_path, key_path }) => [cert_path, key_path]),
        hosts,
      ),
    ).toFixed(0),
    'memory of all processes, MB': (pssBytes / 1024 / 1024).toFixed(0),
  }
}

/** Of one call of `lookup`, when it has been compiled. */
function nsOf(lookup: (count: number) => void): number {
  const count = 1_000_000
  lookup(count)
  const startedMs = performance.now()
  lookup(count)
  return ((performance.now() - startedMs) * 1e6) / count
}

function lookupHosts(hosts: readonly string[]): (count: number) => void {
  const router = new Router(hosts.map((host) => [host, host] as const))
  return (count) => {
    for (let i = 0; i < count; i++) router.lookup(hosts[i % hosts.length] ?? '')
  }
}

function lookupNames(
  pairs: readonly (readonly [certPath: string, keyPath: string])[],
  hosts: readonly string[],
): (count: number) => void {
  const contexts = new SiteContexts(randomBytes(48))
  contexts.replace(
    pairs.map(([certPath, keyPath]) => {
      const certPem = readFileSync(certPath, 'utf8')
      const { subjectAltName = '', serialNumber: serial } = new X509Certificate(certPem)
      const names = subjectAltName.split(', ').map((name) => name.replace('DNS:', ''))
      return { serial, names, certPem, keyPem: readFileSync(keyPath, 'utf8') }
    }),
  )
  return (count) => {
    for (let i = 0; i < count; i++) contexts.lookup(hosts[i % hosts.length] ?? '')
  }
}

async function costOf(peer: Running, { isQuick }: CapacityOptions): Promise<number> {
  const load = { port: peer.port, path: '/', protocol: 'h1', connections: 32 } as const
  await h2load({ ...load, seconds: 2 })
  const before = treeCpuUs(peer.pid)
  const { units } = await h2load({ ...load, seconds: isQuick ? 2 : 6 })
  return (treeCpuUs(peer.pid) - before) / Math.max(1, units)
}

async function start(name: Peer, options: CapacityOptions, workers: number): Promise<Running> {
  return await startPeer(name, sceneOf(name, options), { workers, port: await freePort() })
}

function sceneOf(name: Peer, { directory, upstreamPort, certificate }: CapacityOptions): Scene {
  const scene = { directory: join(directory, name), ...certificate, upstreamPort }
  rmSync(scene.directory, { recursive: true, force: true })
  return scene
}
