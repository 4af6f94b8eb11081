// `doctor` looks whether somebody answers where the requests of each site would go.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { freePort, listen } from '../../../../test/harness/ports.ts'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { reportUnchecked, checkUpstream } from '../../src/cli/doctor/check-endpoints.ts'
import type { TcpUpstream, UpstreamState } from '../../src/cli/doctor/probes.ts'
import { tryUpstream } from '../../src/cli/doctor/endpoint-probes.ts'

const TEST = { timeout: 60_000 }
const NEVER = new AbortController().signal
const PLAIN: TcpUpstream = { kind: 'tcp', scheme: 'http', host: '127.0.0.1', port: 3000, caPem: undefined }

function statusOf(upstream: TcpUpstream, state: UpstreamState): string {
  const { status, message, hint } = checkUpstream(upstream, ['a.example'], state)
  assert.equal(hint === undefined, status === 'ok', message)
  return `${status}: ${message}`
}

test('an upstream that nobody answers is found, and one that does is well', TEST, async (t) => {
  const port = await listen(
    t,
    net.createServer((socket) => socket.on('error', () => {}).end()),
  )
  const answering = { ...PLAIN, port }
  assert.equal(statusOf(answering, await tryUpstream(answering, NEVER)), 'ok: accepts connections')

  const dead = { ...PLAIN, port: await freePort() }
  assert.match(
    statusOf(dead, await tryUpstream(dead, NEVER)),
    /^warn: cannot be reached \(ECONNREFUSED\): requests for a\.example would get 502$/u,
  )
  const named = { ...PLAIN, host: 'no-such-name.invalid' }
  assert.match(statusOf(named, await tryUpstream(named, NEVER)), /^warn: cannot be reached \(E/u)
})

test(
  'an upstream over https is well only if its certificate is one that a worker would trust',
  TEST,
  async (t) => {
    const ca = await TestCa.create(t)
    const ofServer = async (name: string): Promise<number> => {
      const { certPath, keyPath } = await ca.issue([name])
      const server = tls.createServer({ cert: readFileSync(certPath), key: readFileSync(keyPath) })
      server.on('tlsClientError', () => {})
      return await listen(t, server)
    }
    const good = { ...PLAIN, scheme: 'https', host: 'localhost', caPem: ca.certPem } as const
    const right = { ...good, port: await ofServer('localhost') }
    assert.match(statusOf(right, await tryUpstream(right, NEVER)), /^ok: accepts connections with a trusted/u)

    const unknownCa = { ...right, caPem: undefined }
    assert.match(statusOf(unknownCa, await tryUpstream(unknownCa, NEVER)), /^fail: TLS fails .* 502$/u)
    const otherName = { ...good, port: await ofServer('other.example') }
    assert.match(statusOf(otherName, await tryUpstream(otherName, NEVER)), /^fail: TLS fails .*localhost/u)

    const plainPort = await listen(
      t,
      net.createServer((socket) => socket.on('error', () => {}).end('HTTP')),
    )
    const plain = { ...good, port: plainPort }
    assert.match(statusOf(plain, await tryUpstream(plain, NEVER)), /^fail: TLS fails/u)
  },
)

test('an upstream that is silent is given up in time', TEST, async (t) => {
  const accepted = Promise.withResolvers<undefined>()
  const sockets: net.Socket[] = []
  const server = net.createServer((socket) => {
    sockets.push(socket.on('error', () => {}))
    accepted.resolve(undefined)
  })
  const port = await listen(t, server)
  t.after(() => sockets.forEach((socket) => socket.destroy()))
  const patience = new AbortController()
  const silent = { ...PLAIN, scheme: 'https', port } as const
  const tried = tryUpstream(silent, patience.signal)
  await accepted.promise
  patience.abort()
  assert.match(statusOf(silent, await tried), /^warn: does not respond in time: .* 504$/u)
  assert.equal(reportUnchecked(3).status, 'warn')
})

test('many sites with one upstream are named in short', () => {
  const hosts = ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}.example`)
  const { message } = checkUpstream({ ...PLAIN, host: '::1' }, hosts, { state: 'timeout' })
  assert.match(message, /a\.example, b\.example, c\.example and 2 more/u)
})
