// NTLM and Negotiate authenticate a connection, not a request: over which upstream connection a request goes decides
// as whom it is served.
import assert from 'node:assert/strict'
import type { ClientHttp2Session } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { served, startIdentityUpstream, type IdentityUpstream } from '../support/connection-identity.ts'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 60_000 }

type Ask = (
  authorization?: string,
  method?: string,
) => Promise<{ status: number; served: string; challenge: string }>

function text(authorization?: string, method = 'GET', extra = ''): string {
  const field = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
  return `${method} / HTTP/1.1\r\nHost: a.example\r\n${field}${extra}\r\n`
}

async function http1(t: TestContext, port: number): Promise<{ ask: Ask; close: () => void }> {
  const client = await connectRaw(t, port)
  return {
    ask: async (authorization, method) => {
      client.send(text(authorization, method))
      const { status, head } = await client.response({ toHead: method === 'HEAD' })
      return { status, served: fieldOf(head, 'x-served'), challenge: fieldOf(head, 'www-authenticate') }
    },
    close: () => client.socket.destroy(),
  }
}

function fieldOf(head: string, name: string): string {
  return new RegExp(`^${name}: (.*?)\\r?$`, 'im').exec(head)?.[1] ?? ''
}

async function http2(t: TestContext, port: number): Promise<{ ask: Ask; close: () => void }> {
  const session = await connectHttp2(t, port)
  return { ask: asking(session), close: () => session.destroy() }
}

function asking(session: ClientHttp2Session): Ask {
  return async (authorization, method = 'GET') => {
    const { status, headers } = await request(session, {
      ':method': method,
      ...(authorization !== undefined && { authorization }),
    })
    const challenge = headers['www-authenticate'] ?? ''
    return { status, served: String(headers['x-served']), challenge }
  }
}

const CLIENTS = { 'HTTP/1.1': http1, 'HTTP/2': http2 } as const

/** The second and the third step; between the two, `meanwhile`. */
async function logIn(
  ask: Ask,
  user: string,
  meanwhile?: () => Promise<unknown>,
  method?: string,
): Promise<string> {
  const { status, challenge } = await ask('NTLM hello', method)
  assert.equal(status, 401)
  await meanwhile?.()
  const answer = await ask(`NTLM ${user}:${challenge.replace('NTLM ', '')}`, method)
  assert.equal(answer.status, 200)
  return answer.served
}

async function start(
  t: TestContext,
  upstream: IdentityUpstream,
  limits: Parameters<typeof startSiteServer>[2] = {},
): Promise<number> {
  const { port } = await startSiteServer(t, [siteOf(upstream.port)], limits)
  return port
}

for (const [name, connect] of Object.entries(CLIENTS)) {
  for (const [otherName, connectOther] of Object.entries(CLIENTS)) {
    test(
      `${name}: what one connection has authenticated serves no other, over ${otherName}`,
      TIMEOUT,
      async (t) => {
        const upstream = await startIdentityUpstream(t)
        const port = await start(t, upstream)
        const [anna, other] = [await connect(t, port), await connectOther(t, port)]
        // Both have used the same one by now, and neither has said anything.
        assert.equal((await anna.ask()).status, 401)
        const first = await logIn(anna.ask, 'anna')
        for (let i = 0; i < 3; i++) {
          const { status, served: by } = await other.ask()
          assert.equal(status, 401)
          assert.match(by, /^nobody /)
          assert.equal((await anna.ask()).served, first)
        }
        const second = await logIn(other.ask, 'bert')
        assert.notEqual(second.split(' ')[1], first.split(' ')[1])
        assert.equal((await anna.ask()).served, first)
        assert.equal((await other.ask()).served, second)
      },
    )
  }

  test(`${name}: Negotiate with one token binds the connection, whatever its case`, TIMEOUT, async (t) => {
    const upstream = await startIdentityUpstream(t, '')
    const port = await start(t, upstream)
    const anna = await connect(t, port)
    assert.deepEqual((await anna.ask('nEGOTIATE anna')).served, served('anna', 1))
    const other = await connect(t, port)
    assert.equal((await other.ask()).served, served('nobody', 2))
    assert.equal((await anna.ask()).served, served('anna', 1))
  })

  test(`${name}: a handshake stays on its connection while other clients are served`, TIMEOUT, async (t) => {
    const upstream = await startIdentityUpstream(t)
    const port = await start(t, upstream)
    const [anna, other, third] = [await connect(t, port), await http1(t, port), await http2(t, port)]
    const first = await logIn(anna.ask, 'anna', async () => {
      await Promise.all([other.ask(), third.ask(), third.ask('NTLM hello')])
    })
    assert.equal(first, served('anna', 1))
    assert.equal((await anna.ask()).served, first)
  })

  test(
    `${name}: a handshake stays on its connection while its own client asks for more`,
    TIMEOUT,
    async (t) => {
      const upstream = await startIdentityUpstream(t)
      const port = await start(t, upstream)
      const anna = await connect(t, port)
      const first = await logIn(anna.ask, 'anna', async () => {
        for (let i = 0; i < 3; i++) assert.match((await anna.ask()).served, /^nobody /)
      })
      for (let i = 0; i < 3; i++) assert.equal((await anna.ask()).served, first)
    },
  )

  test(`${name}: a handshake of HEAD requests`, TIMEOUT, async (t) => {
    const upstream = await startIdentityUpstream(t)
    const anna = await connect(t, await start(t, upstream))
    const first = await logIn(anna.ask, 'anna', undefined, 'HEAD')
    assert.equal((await anna.ask(undefined, 'HEAD')).served, first)
    assert.equal((await anna.ask()).served, first)
  })

  test(`${name}: a bound connection ends with its client's`, TIMEOUT, async (t) => {
    const upstream = await startIdentityUpstream(t)
    const anna = await connect(t, await start(t, upstream))
    await logIn(anna.ask, 'anna')
    assert.equal(upstream.open(), 1)
    anna.close()
    await waitFor('the upstream connection to end', () => upstream.open() === 0)
  })

  test(`${name}: a bound connection gives its room to others`, TIMEOUT, async (t) => {
    const upstream = await startIdentityUpstream(t)
    const port = await start(t, upstream, { upstreamMaxConnections: 1 })
    const [anna, other] = [await connect(t, port), await connect(t, port)]
    await logIn(anna.ask, 'anna')
    assert.equal((await other.ask()).served, served('nobody', 2))
    await waitFor('the first to end', () => upstream.open() === 1)
    assert.equal((await anna.ask()).served, served('nobody', 3))
  })

  test(`${name}: what is sent again is served as nobody else`, TIMEOUT, async (t) => {
    const upstream = await startIdentityUpstream(t)
    const port = await start(t, upstream)
    const [anna, other] = [await connect(t, port), await connect(t, port)]
    assert.equal(await logIn(anna.ask, 'anna'), served('anna', 1))
    assert.equal(await logIn(other.ask, 'bert'), served('bert', 2))
    upstream.resetNext(1)
    assert.equal((await anna.ask()).served, served('nobody', 3))
    assert.equal((await other.ask()).served, served('bert', 2))
  })
}

test('HTTP/2: streams at once are served as their own client or as nobody', TIMEOUT, async (t) => {
  const upstream = await startIdentityUpstream(t)
  const port = await start(t, upstream)
  const [anna, other] = [await http2(t, port), await http2(t, port)]
  await logIn(anna.ask, 'anna')
  await logIn(other.ask, 'bert')
  const asked = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => ({
      isAnna: i % 2 === 0,
      ...(await (i % 2 === 0 ? anna : other).ask()),
    })),
  )
  for (const { isAnna, served: by } of asked) assert.doesNotMatch(by, isAnna ? /bert/ : /anna/)
  // Those that were opened for the crowd are not taken for the authenticated one afterwards.
  assert.equal((await anna.ask()).served, served('anna', 1))
  assert.equal((await other.ask()).served, served('bert', 2))
})

test('HTTP/1.1: pipelined requests follow the handshake onto its connection', TIMEOUT, async (t) => {
  const upstream = await startIdentityUpstream(t)
  const port = await start(t, upstream)
  const client = await connectRaw(t, port)
  client.send(text('NTLM hello') + text())
  assert.match((await client.response()).head, /NTLM challenge-1/i)
  assert.equal((await client.response()).body, served('nobody', 2))
  client.send(text('NTLM anna:challenge-1') + text() + text() + text())
  for (let i = 0; i < 4; i++) assert.equal((await client.response()).body, served('anna', 1))
})

test('a challenge alone, among others and in any case, binds its connection', TIMEOUT, async (t) => {
  for (const [challenge, isBound] of [
    ['WWW-Authenticate: Basic realm="a, b", nEgOtIaTe', true],
    ['WWW-Authenticate: Basic realm="a"\r\nWWW-Authenticate: NTLM', true],
    ['WWW-Authenticate: Kerberos', true],
    ['WWW-Authenticate: Nego2', true],
    ['Proxy-Authenticate: Negotiate abc', true],
    ['WWW-Authenticate: Basic realm="NTLMs"', false],
    ['WWW-Authenticate: Digest realm="a"', false],
  ] as const) {
    const upstream = await startIdentityUpstream(t, `${challenge}\r\n`)
    const port = await start(t, upstream)
    const [first, second] = [await http1(t, port), await http1(t, port)]
    await first.ask()
    assert.equal((await second.ask()).served, served('nobody', isBound ? 2 : 1), challenge)
  }
})

test('Basic and Bearer leave the connection to everybody', TIMEOUT, async (t) => {
  const upstream = await startIdentityUpstream(t, '')
  const port = await start(t, upstream)
  for (const authorization of ['Basic YTpi', 'Bearer negotiate.ntlm', undefined, 'Digest username="a"']) {
    const { ask } = await http1(t, port)
    assert.equal((await ask(authorization)).served, served('nobody', 1))
  }
})

test(
  'the connection of a refused WebSocket handshake with Negotiate serves nothing else',
  TIMEOUT,
  async (t) => {
    const upstream = await startIdentityUpstream(t)
    const port = await start(t, upstream)
    const socket = await connectRaw(t, port)
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    socket.send(text('Negotiate anna', 'GET', upgrade))
    assert.equal((await socket.response()).body, served('anna', 1))
    const other = await http1(t, port)
    assert.equal((await other.ask()).served, served('nobody', 2))
    await waitFor('the first to end', () => upstream.open() === 1)
  },
)
