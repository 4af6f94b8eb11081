// A site with a password file: without a password a request gets no further, and the upstream learns the user.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { PasswordCheck, PasswordVerdict } from '@reverse-proxy/shared/ipc/messages'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  valuesOf,
} from '../../../../test/harness/raw-upstream.ts'
import { NO_RATE_LIMIT, siteOf, startSiteServer } from '../support/site-server.ts'

const TIMEOUT = { timeout: 30_000 }

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString('base64')}`
}

function get(fields = ''): string {
  return `GET / HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`
}

function verify({ user, password }: PasswordCheck): PasswordVerdict {
  if (user === 'busy') return { kind: 'busy', retryAfterSecs: 7 }
  return { kind: user === 'ann' && password === 'p:w ä' ? 'accepted' : 'denied' }
}

async function start(t: TestContext, forwardsAuthorization = false) {
  const checks: PasswordCheck[] = []
  const upstream = await startUpstream(t, answering(OK))
  const basicAuth = { file: '/users', forwardsAuthorization }
  const sites = [siteOf(upstream.port, { basicAuth }), siteOf(upstream.port, { host: 'b.example' })]
  const server = await startSiteServer(t, sites, {}, NO_RATE_LIMIT, new NameResolver(), {
    verifyPassword: (check) => {
      checks.push(check)
      return verify(check)
    },
  })
  return { ...server, checks, sent: () => readRequests(upstream.received()) }
}

test('basic auth: asked for in UTF-8, and only the right password gets through', TIMEOUT, async (t) => {
  const { port, sent, checks, logged } = await start(t)
  const client = await connectRaw(t, port)
  for (const authorization of [
    undefined,
    'Bearer x',
    'Basic ?',
    'Basic',
    basic('no colon'),
    basic('a\u0007:b'),
  ]) {
    client.send(get(authorization === undefined ? '' : `Authorization: ${authorization}\r\n`))
    const { status, head } = await client.response()
    assert.equal(status, 401, String(authorization))
    assert.match(head, /\r\nwww-authenticate: Basic realm="a\.example", charset="UTF-8"\r\n/iu)
  }
  assert.deepEqual(checks, [])
  client.send(get(`Authorization: ${basic('ann:wrong')}\r\n`))
  assert.equal((await client.response()).status, 401)
  client.send(get(`Authorization: ${basic('ann:p:w ä')}\r\nAuthorization: ${basic('ann:p:w ä')}\r\n`))
  assert.equal((await client.response()).status, 401)
  client.send(get(`Authorization: ${basic('busy:x')}\r\n`))
  const busy = await client.response()
  assert.equal(busy.status, 429)
  assert.match(busy.head, /\r\nretry-after: 7\r\n/iu)
  assert.equal(sent().length, 0)
  client.send(get(`Authorization: ${basic('ann:p:w ä')}\r\nRemote-User: root\r\n`))
  assert.equal((await client.response()).status, 200)
  const [only] = sent()
  assert.ok(only)
  assert.deepEqual(
    [valuesOf(only.headers, 'remote-user'), valuesOf(only.headers, 'authorization')],
    [['ann'], []],
  )
  assert.equal(logged.filter(({ event }) => event === 'AUTH_FAILED').length, 2)
  assert.doesNotMatch(JSON.stringify(logged), /p:w|wrong/u)
})

test(
  'basic auth: a success is remembered, over HTTP/2 as well; bodies wait, and none is lost',
  TIMEOUT,
  async (t) => {
    const { port, sent, checks } = await start(t)
    const session = await connectHttp2(t, port)
    const authorization = basic('ann:p:w ä')
    const answers = await Promise.all(
      Array.from(
        { length: 20 },
        async () => await request(session, { ':method': 'POST', authorization }, 'body'),
      ),
    )
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    assert.equal(checks.length, 1)
    assert.equal((await request(session, { authorization: basic('ann:other') })).status, 401)
    assert.equal((await request(session, { authorization })).status, 200)
    assert.equal(checks.length, 2)
    assert.deepEqual(new Set(sent().map(({ body }) => body)), new Set(['body', '']))
  },
)

test(
  'basic auth: forwarded where that is wanted; other sites ask for nothing and pass it on',
  TIMEOUT,
  async (t) => {
    const { port, sent } = await start(t, true)
    const client = await connectRaw(t, port)
    const authorization = basic('ann:p:w ä')
    client.send(get(`Authorization: ${authorization}\r\n`))
    assert.equal((await client.response()).status, 200)
    client.send(`GET / HTTP/1.1\r\nHost: b.example\r\nAuthorization: ${basic('x:y')}\r\n\r\n`)
    assert.equal((await client.response()).status, 200)
    const [first, second] = sent()
    assert.ok(first && second)
    assert.deepEqual(
      [valuesOf(first.headers, 'remote-user'), valuesOf(first.headers, 'authorization')],
      [['ann'], [authorization]],
    )
    assert.deepEqual(
      [valuesOf(second.headers, 'remote-user'), valuesOf(second.headers, 'authorization')],
      [[], [basic('x:y')]],
    )
  },
)
