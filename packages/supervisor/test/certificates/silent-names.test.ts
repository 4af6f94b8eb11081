// CAs and upstreams whose names nobody resolves keep those waiting least of all whose names are known.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import type { IncomingMessage } from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { listen } from '../../../../test/harness/ports.ts'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { createCaAgent } from '../../src/certificates/acme-client/transport/ca-agent.ts'
import { isPassingCode } from '../../src/certificates/acme-client/transport/patience.ts'
import { checkUpstream } from '../../src/cli/doctor/check-endpoints.ts'
import type { TcpUpstream } from '../../src/cli/doctor/probes.ts'
import { tryUpstream } from '../../src/cli/doctor/endpoint-probes.ts'

const TEST = { timeout: 60_000 }
/** More than the runtime looks up at a time by the system. */
const SILENT = Array.from({ length: 6 }, (_, i) => `silent-${i}.test`)

/** `known.test` is this machine; whoever is asked for another name is silent. */
function names(): NameResolver {
  const never = new Promise<never>(() => {})
  return new NameResolver({
    nowMs: () => 0,
    hosts: () => new Map(),
    candidates: (name) => [name],
    query: async (name, family) =>
      name === 'known.test' ? { addresses: family === 4 ? ['127.0.0.1'] : [], ttlSecs: 60 } : await never,
    querySystem: async () => await never,
  })
}

test('a CA is reached while the names of others are looked up in vain', TEST, async (t) => {
  const ca = await TestCa.create(t)
  const { certPath, keyPath } = await ca.issue(['known.test'])
  const server = https.createServer(
    { cert: readFileSync(certPath), key: readFileSync(keyPath) },
    (_, res) => {
      res.end('{}')
    },
  )
  const port = await listen(t, server)
  const resolver = names()
  const get = (host: string): ReturnType<typeof https.get> => {
    const agent = createCaAgent(ca.certPem, resolver)
    const request = https.get(`https://${host}:${port}/`, { agent })
    request.on('error', () => {})
    t.after(() => {
      request.destroy()
      agent.destroy()
    })
    return request
  }
  for (const host of SILENT) get(host)
  const [response]: IncomingMessage[] = await once(get('known.test'), 'response')
  assert.equal(response?.statusCode, 200)
})

test('doctor finds an upstream while the names of others are looked up in vain', TEST, async (t) => {
  const port = await listen(
    t,
    net.createServer((socket) => socket.on('error', () => {}).end()),
  )
  const resolver = names()
  const patience = new AbortController()
  const upstream = (host: string): TcpUpstream => ({
    kind: 'tcp',
    scheme: 'http',
    host,
    port,
    caPem: undefined,
  })
  const silent = SILENT.map(async (host) => await tryUpstream(upstream(host), patience.signal, resolver))
  assert.deepEqual(await tryUpstream(upstream('known.test'), patience.signal, resolver), {
    state: 'reachable',
  })
  patience.abort()
  assert.deepEqual(
    await Promise.all(silent),
    SILENT.map(() => ({ state: 'timeout' })),
  )
})

test('a look-up that fails passes by itself; doctor says that it is about the name', () => {
  assert.equal(isPassingCode('EAI_FAIL'), true)
  const upstream: TcpUpstream = { kind: 'tcp', scheme: 'http', host: 'a.test', port: 80, caPem: undefined }
  const { hint } = checkUpstream(upstream, ['a.example'], { state: 'unreachable', code: 'EAI_FAIL' })
  assert.match(hint ?? '', /resolver of this machine/u)
})
