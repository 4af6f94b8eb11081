// What a worker does about bans: the offences that it reports, and the clients that it refuses.
import assert from 'node:assert/strict'
import net from 'node:net'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { packBans } from '@reverse-proxy/shared/bans/ban-changes'
import { clientIdOf } from '@reverse-proxy/shared/bans/ban-list'
import { clientKey } from '@reverse-proxy/shared/client-key'
import type { BanRule, ClientSettings } from '@reverse-proxy/shared/config/config'
import type { OffenceReport } from '@reverse-proxy/shared/ipc/messages'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { Bans } from '../../src/access/bans.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { answering, OK, readRequests, startUpstream } from '../../../../test/harness/raw-upstream.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { connectHttp2, request } from '../support/http2/client.ts'
import { NO_RATE_LIMIT, siteOf, startSiteServer } from '../support/site-server.ts'

const TIMEOUT = { timeout: 60_000 }
const RULE: BanRule = { after: 10, withinMs: 600_000, forMs: 3_600_000, statuses: [401, 403], scope: '' }
const FORBIDDEN = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'

function banned(address: string, leftMs = 3_600_000): Uint32Array {
  const id = clientIdOf(clientKey(address))
  assert.ok(id !== undefined)
  return packBans([{ ...id, leftMs }])
}

function get(host = 'a.example', fields = ''): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`
}

function from(ip: string, host = 'a.example') {
  return { ':authority': host, 'x-forwarded-for': ip }
}

function clientAt(ip: string) {
  return { ip, key: clientKey(ip), scheme: 'https' } as const
}

async function start(t: TestContext, ban: BanRule | undefined, clients?: ClientSettings) {
  const upstream = await startUpstream(t, answering(OK))
  const refusing = await startUpstream(t, answering(FORBIDDEN))
  const sites = [
    siteOf(upstream.port, { routes: [] }),
    siteOf(refusing.port, { host: 'b.example' }),
    siteOf(upstream.port, {
      host: 'x.wild.example',
      access: { allow: ['203.0.113.7'], deny: [] },
      ban: { ...RULE, scope: 'x.wild.example' },
    }),
  ]
  const server = await startSiteServer(t, sites, {}, NO_RATE_LIMIT, new NameResolver(), {
    ...(clients && { clients }),
    ...(ban && { ban }),
  })
  return { ...server, requestsSent: () => readRequests(upstream.received()).length }
}

test(
  'offences are reported by client and rule: of the upstream and our own, by HTTP/1 and HTTP/2',
  TIMEOUT,
  async (t) => {
    const { port, offences } = await start(t, RULE)
    const one = await connectRaw(t, port, { serverName: 'b.example' })
    one.send(get('b.example'))
    assert.equal((await one.response()).status, 403)
    const two = await connectHttp2(t, port)
    assert.equal((await request(two, { ':authority': 'b.example' })).status, 403)
    assert.equal((await request(two, { ':authority': 'x.wild.example' })).status, 403)
    assert.equal((await request(two, {})).status, 200)
    const sum = (key: string): number =>
      offences.filter((each) => each.key === key).reduce((total, { count }) => total + count, 0)
    await waitFor('the reports', () => sum('127.0.0.1') === 2 && sum('127.0.0.1|x.wild.example') === 1)
    assert.equal(
      offences.every(({ key }) => key.startsWith('127.0.0.1')),
      true,
    )
  },
)

test('a request that is no HTTP is an offence of the general rule', TIMEOUT, async (t) => {
  const { port, offences } = await start(t, { ...RULE, statuses: [400] })
  const raw = await connectRaw(t, port)
  raw.send('GET / HTTP/1.1\r\nHost : a.example\r\n\r\n')
  assert.equal((await raw.response()).status, 400)
  await waitFor('the report', () => offences.length > 0)
  assert.deepEqual(offences, [{ key: '127.0.0.1', count: 1 }])
})

test(
  'a banned client: an open connection gets 403 and ends, a new one is closed at once',
  TIMEOUT,
  async (t) => {
    const { port, bans, metrics, offences, requestsSent } = await start(t, RULE)
    const open = await connectRaw(t, port)
    open.send(get())
    assert.equal((await open.response()).status, 200)
    const session = await connectHttp2(t, port)
    assert.equal((await request(session, {})).status, 200)

    bans.apply(banned('127.0.0.1'))
    open.send(get())
    const refused = await open.response()
    assert.equal(refused.status, 403)
    assert.match(refused.head, /\r\nConnection: close$/u)
    await open.closed()
    assert.equal((await request(session, {})).status, 403)
    const socket = net.connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'close')
    assert.equal(socket.bytesRead, 0)
    const { events } = metrics.take()
    assert.deepEqual(
      events.filter(({ event }) => event === 'connection_refused'),
      [{ event: 'connection_refused', detail: 'banned', count: 1 }],
    )
    assert.equal(requestsSent(), 2)
    assert.deepEqual(offences, [], 'the refusals are no offences')

    bans.apply(banned('127.0.0.1', 0))
    assert.equal((await request(session, {})).status, 200)
    const again = await connectRaw(t, port)
    again.send(get())
    assert.equal((await again.response()).status, 200)
  },
)

test(
  'behind a trusted proxy: the client it names is counted and refused, the proxy itself never',
  TIMEOUT,
  async (t) => {
    const clients = { trustedProxies: ['127.0.0.1'], clientIpHeader: undefined, proxyProtocol: false }
    const { port, bans, offences } = await start(t, RULE, clients)
    const session = await connectHttp2(t, port)
    assert.equal((await request(session, { ':authority': 'b.example' })).status, 403)
    assert.equal((await request(session, from('2001:db8::1', 'b.example'))).status, 403)
    await waitFor('the report', () => offences.length > 0)
    assert.deepEqual(offences, [{ key: '2001:db8:0:0::/64', count: 1 }])

    bans.apply(banned('2001:db8::1'))
    bans.apply(banned('127.0.0.1'))
    assert.equal((await request(session, from('2001:db8::2'))).status, 403)
    assert.equal((await request(session, from('2001:db8:0:1::2'))).status, 200)
    const raw = await connectRaw(t, port)
    raw.send(get('a.example', 'X-Forwarded-For: 2001:db8::1\r\n'))
    const { status, head } = await raw.response()
    assert.equal(status, 403)
    assert.doesNotMatch(head, /connection: close/iu)
    raw.send(get())
    assert.equal((await raw.response()).status, 200)
  },
)

test('with the PROXY protocol the client in the header is refused', TIMEOUT, async (t) => {
  const clients = { trustedProxies: ['127.0.0.1'], clientIpHeader: undefined, proxyProtocol: true }
  const { port, bans } = await start(t, RULE, clients)
  bans.apply(banned('203.0.113.5'))
  const served = await connectRaw(t, port, { proxyHeader: 'PROXY TCP4 203.0.113.6 127.0.0.1 1 2\r\n' })
  served.send(get())
  assert.equal((await served.response()).status, 200)
  const socket = net.connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write('PROXY TCP4 203.0.113.5 127.0.0.1 1 2\r\n')
  await once(socket, 'close')
  assert.equal(socket.bytesRead, 0)
})

test('nothing trusted by any listener is reported or refused; without rules nothing is', () => {
  const sent: OffenceReport[] = []
  const delayed: (() => void)[] = []
  const bans = new Bans({
    send: (report) => sent.push(report),
    timers: { nowMs: () => 0, soon: () => {}, after: (_ms, run) => (delayed.push(run), () => {}) },
    seed: 1,
  })
  const trusting = { trustedProxies: ['2001:db8::/96'], clientIpHeader: undefined, proxyProtocol: false }
  const listeners = [{ sites: [] }, { sites: [], clients: trusting }]
  bans.configure({ ban: RULE, listeners })
  for (const ip of ['2001:db8::1', '2001:db8::1:0:1', '203.0.113.5', '203.0.113.5'])
    bans.note(clientAt(ip), 401, undefined)
  bans.note(clientAt('203.0.113.5'), 404, undefined)
  bans.note(clientAt('203.0.113.5'), 403, { ...RULE, statuses: [], scope: 'quiet.test' })
  for (const run of delayed.splice(0)) run()
  assert.deepEqual(sent, [
    {
      type: 'offences',
      offences: [
        { key: '2001:db8:0:0::/64', count: 1 },
        { key: '203.0.113.5', count: 2 },
      ],
    },
  ])
  // Its neighbours in the /64 are banned; it is not.
  bans.apply(banned('2001:db8::1'))
  assert.equal(bans.isBanned(clientAt('2001:db8::1')), false)
  assert.equal(bans.isBanned(clientAt('2001:db8::1:0:1')), true)
  bans.configure({ listeners })
  assert.equal(bans.isBanned(clientAt('2001:db8::1:0:1')), false)
  bans.note(clientAt('203.0.113.5'), 401, undefined)
  for (const run of delayed.splice(0)) run()
  assert.equal(sent.length, 1)
})
