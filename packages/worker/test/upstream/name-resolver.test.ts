// Upstream names: who is asked, how often, for how long an answer is used, and that a name whose servers are silent
// concerns nobody else.
import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { candidatesFor, parseHosts, parseResolvConf } from '@reverse-proxy/shared/names/name-files'
import {
  NameResolver,
  systemNames,
  type Answer,
  type NameSources,
} from '@reverse-proxy/shared/names/name-resolver'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { answering, OK, startUpstream } from '../../../../test/harness/raw-upstream.ts'
import { NO_RATE_LIMIT, siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 30_000 }

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** Sources that a test answers by hand. Only IPv4 is asked of it; there is no IPv6. */
class FakeSources implements NameSources {
  now = 0
  readonly asked: string[] = []
  readonly askedSystem: string[] = []
  answer: (name: string) => Promise<Answer> = async () => await Promise.reject(failure('ENOTFOUND'))
  answerSystem: (name: string) => Promise<readonly string[]> = async () =>
    await Promise.reject(failure('ENOTFOUND'))

  nowMs(): number {
    return this.now
  }

  hosts(): ReadonlyMap<string, readonly string[]> {
    return parseHosts('10.0.0.9 listed # comment\n')
  }

  candidates(name: string): readonly string[] {
    return candidatesFor(name, parseResolvConf('search first.test second.test\n'))
  }

  async query(name: string, family: 4 | 6): Promise<Answer> {
    if (family === 6) throw failure('ENODATA')
    this.asked.push(name)
    return await this.answer(name)
  }

  async querySystem(name: string): Promise<readonly string[]> {
    this.askedSystem.push(name)
    return await this.answerSystem(name)
  }
}

async function resolve(names: NameResolver, name: string): Promise<string> {
  return await new Promise((done) => {
    names.resolve(name, (error, addresses) =>
      done(error === null ? addresses.join() : String(Reflect.get(error, 'code'))),
    )
  })
}

test('addresses, localhost and listed names cost no look-up', async () => {
  const sources = new FakeSources()
  const names = new NameResolver(sources)
  assert.equal(await resolve(names, '192.0.2.1'), '192.0.2.1')
  assert.equal(await resolve(names, '::1'), '::1')
  assert.equal(await resolve(names, 'LocalHost'), '127.0.0.1,::1')
  assert.equal(await resolve(names, 'app.localhost'), '127.0.0.1,::1')
  assert.equal(await resolve(names, 'Listed'), '10.0.0.9')
  assert.deepEqual([sources.asked, sources.askedSystem], [[], []])
})

test('one look-up a name; an answer is used for its time to live, at least 5 s, and while it is renewed', async () => {
  const sources = new FakeSources()
  const names = new NameResolver(sources)
  sources.answer = async () => await Promise.resolve({ addresses: ['10.0.0.1'], ttlSecs: 1 })
  const first = await Promise.all(Array.from({ length: 10 }, async () => await resolve(names, 'a.test')))
  assert.deepEqual(new Set(first), new Set(['10.0.0.1']))
  sources.now = 4_999
  assert.equal(await resolve(names, 'a.test'), '10.0.0.1')
  assert.deepEqual(sources.asked, ['a.test'])
  sources.now = 5_000
  const { promise, resolve: answer } = Promise.withResolvers<Answer>()
  sources.answer = async () => await promise
  assert.equal(await resolve(names, 'a.test'), '10.0.0.1', 'stale, and used at once')
  assert.equal(await resolve(names, 'a.test'), '10.0.0.1')
  assert.deepEqual(sources.asked, ['a.test', 'a.test'])
  answer({ addresses: ['10.0.0.2'], ttlSecs: 60 })
  await new Promise(setImmediate)
  assert.equal(await resolve(names, 'a.test'), '10.0.0.2')
  assert.equal(sources.asked.length, 2)
})

test('servers that fail leave the old answer in use; one that says the name is gone does not', async () => {
  const sources = new FakeSources()
  const names = new NameResolver(sources)
  sources.answer = async () => await Promise.resolve({ addresses: ['10.0.0.1'], ttlSecs: 5 })
  assert.equal(await resolve(names, 'a.test'), '10.0.0.1')
  sources.answer = async () => await Promise.reject(failure('ETIMEOUT'))
  sources.now = 1_000_000
  assert.equal(await resolve(names, 'a.test'), '10.0.0.1', 'waited for, in vain')
  assert.equal(await resolve(names, 'b.test'), 'EAI_FAIL')
  sources.answer = async () => await Promise.reject(failure('ENOTFOUND'))
  sources.now = 2_000_000
  assert.equal(await resolve(names, 'a.test'), 'ENOTFOUND')
})

test('short names are completed from the search list, and the system is asked last, for one name at a time', async () => {
  const sources = new FakeSources()
  const names = new NameResolver(sources)
  sources.answer = async (name) =>
    await (name === 'app.second.test'
      ? Promise.resolve({ addresses: ['10.0.0.3'], ttlSecs: 60 })
      : Promise.reject(failure('ENOTFOUND')))
  assert.equal(await resolve(names, 'app'), '10.0.0.3')
  assert.deepEqual(sources.asked, ['app.first.test', 'app.second.test'])
  const turns: (() => void)[] = []
  sources.answerSystem = async (name) =>
    await new Promise((done) => turns.push(() => done([name === 'p.local' ? '10.0.0.4' : '10.0.0.5'])))
  const both = Promise.all([resolve(names, 'p.local'), resolve(names, 'q.local')])
  await waitFor('the system to be asked', () => turns.length === 1)
  assert.deepEqual(sources.askedSystem, ['p.local'])
  turns[0]?.()
  await waitFor('the system to be asked for the next', () => turns.length === 2)
  turns[1]?.()
  assert.deepEqual(await both, ['10.0.0.4', '10.0.0.5'])
})

test('search lists as the system reads them', () => {
  const kubernetes = parseResolvConf(
    'nameserver 10.96.0.10\nsearch ns.svc.cluster.local svc.cluster.local cluster.local.\noptions ndots:5 edns0\n',
  )
  assert.deepEqual(candidatesFor('app.other', kubernetes), [
    'app.other.ns.svc.cluster.local',
    'app.other.svc.cluster.local',
    'app.other.cluster.local',
    'app.other',
  ])
  assert.deepEqual(candidatesFor('app.other.', kubernetes), ['app.other'])
  assert.deepEqual(candidatesFor('app', parseResolvConf('')), ['app'])
  assert.deepEqual(candidatesFor('a.b', parseResolvConf('domain x.test')), ['a.b', 'a.b.x.test'])
})

/** Answers A queries for `known` with 127.0.0.1, says that other names do not exist, and is silent about `dead.test`. */
async function startNameServer(t: TestContext, known: string): Promise<{ address: string; asked: string[] }> {
  const socket = dgram.createSocket('udp4')
  const asked: string[] = []
  socket.on('message', (query, from) => {
    let at = 12
    const labels: string[] = []
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    const name = labels.join('.').toLowerCase()
    const type = query.readUInt16BE(at + 1)
    asked.push(`${name} ${type}`)
    if (name === 'dead.test') return
    const isKnown = name === known
    const answers = isKnown && type === 1 ? 1 : 0
    const head = Buffer.from(query.subarray(0, at + 5))
    head.writeUInt16BE(isKnown ? 0x81_80 : 0x81_83, 2)
    head.writeUInt16BE(answers, 6)
    head.writeUInt32BE(0, 8)
    const record = Buffer.from('c00c000100010000000500047f000001', 'hex')
    socket.send(answers === 1 ? Buffer.concat([head, record]) : head, from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  return { address: `127.0.0.1:${socket.address().port}`, asked }
}

test('a name whose servers are silent, or that is none, concerns its own site alone', TIMEOUT, async (t) => {
  const server = await startNameServer(t, 'app.search.test')
  const directory = mkdtempSync(join(tmpdir(), 'names-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const resolvConf = join(directory, 'resolv.conf')
  writeFileSync(resolvConf, 'search search.test\n')
  const names = new NameResolver({
    ...systemNames(join(directory, 'hosts'), resolvConf, [server.address]),
    // That of the machine may have no name server to ask.
    querySystem: async () => await Promise.reject(failure('ENOTFOUND')),
  })
  const upstream = await startUpstream(t, answering(OK))
  const to = (host: string, name: string, connectTimeoutMs: number): ReturnType<typeof siteOf> =>
    siteOf(upstream.port, {
      host,
      connectTimeoutMs,
      upstream: { kind: 'tcp', scheme: 'http', host: name, port: upstream.port, caPem: undefined },
    })
  const { port, upstreamErrors } = await startSiteServer(
    t,
    [
      to('a.example', 'dead.test', 1_500),
      to('b.example', 'app', 20_000),
      to('x.wild.example', 'localhost', 20_000),
      to('y.wild.example', 'none.test', 20_000),
    ],
    {},
    NO_RATE_LIMIT,
    names,
  )
  const ask = async (host: string): Promise<number> => {
    const client = await connectRaw(t, port, { serverName: host })
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    return (await client.response()).status
  }
  // More than the runtime's pool has threads.
  const dead = Promise.all(Array.from({ length: 12 }, async () => await ask('a.example')))
  await waitFor('the dead name to be asked for', () => server.asked.includes('dead.test 1'))
  assert.equal(await ask('x.wild.example'), 200)
  assert.equal(await ask('b.example'), 200)
  assert.equal(await ask('y.wild.example'), 502)
  assert.deepEqual(
    upstreamErrors.map(({ host }) => host),
    ['y.wild.example'],
  )
  // The system, which is asked last, does not know either, or has nobody to ask.
  assert.match(upstreamErrors[0]?.error ?? '', /^name (?:not found|look-up failed)$/u)
  assert.deepEqual(new Set(await dead), new Set([504]))
  assert.equal(upstreamErrors.at(-1)?.error, 'name look-up timeout')
})
