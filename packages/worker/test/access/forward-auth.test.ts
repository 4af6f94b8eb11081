// A site whose requests a service lets through: what the service is asked, what the upstream gets, and what the client
// gets of an answer that is not 2xx.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ForwardAuthSettings } from '@reverse-proxy/shared/config/config'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { freePort } from '../../../../test/harness/ports.ts'
import {
  answering,
  OK,
  readRequests,
  startUpstream,
  valuesOf,
  type Behaviour,
  type UpstreamRequest,
} from '../../../../test/harness/raw-upstream.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { settingsOf, siteOf, startSiteServer } from '../support/site-server.ts'

const TIMEOUT = { timeout: 60_000 }
const ALLOWED =
  'HTTP/1.1 200 OK\r\nRemote-User: ann\r\nRemote-Groups: dev,ops\r\nX-Other: 1\r\nContent-Length: 7\r\n\r\nignored'
const LOGIN =
  'HTTP/1.1 302 Found\r\nLocation: https://auth.example/?rd=https%3A%2F%2Fa.example%2Fx\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nlogin'
const COPIED = ['remote-user', 'remote-groups', 'remote-email']
const WEBSOCKET =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

function head(method: string, path = '/x?y=1', fields = ''): string {
  return `${method} ${path} HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`
}

interface AuthOptions extends Partial<ForwardAuthSettings> {
  readonly deny?: readonly string[]
}

/** @param decide the service, or undefined: nobody listens there */
async function start(t: TestContext, decide: Behaviour | undefined, options: AuthOptions = {}) {
  const { deny = [], ...changes } = options
  const upstream = await startUpstream(t, answering(OK))
  const service = decide === undefined ? undefined : await startUpstream(t, decide)
  const port = service?.port ?? (await freePort())
  const forwardAuth: ForwardAuthSettings = {
    scheme: 'http',
    host: '127.0.0.1',
    port,
    authority: `auth.example:${port}`,
    path: '/verify?rd=1',
    copyHeaders: COPIED,
    timeoutMs: 20_000,
    ...changes,
  }
  const open = {
    ...settingsOf(upstream.port),
    match: { path: '/open/', methods: [], headers: [], query: [] },
  }
  const access = { allow: [], deny }
  const site = siteOf(upstream.port, { forwardAuth, access, routes: [open], bodyLimitBytes: 1_000 })
  const server = await startSiteServer(t, [site])
  return {
    ...server,
    service,
    sent: () => readRequests(upstream.received()),
    asked: () => readRequests(service?.received() ?? ''),
  }
}

function fieldsOf({ headers }: UpstreamRequest, names: readonly string[]): string[] {
  return names.map((name) => valuesOf(headers, name).join('|'))
}

test(
  'forward auth: the service is asked what the client asked for, and its fields alone go up',
  TIMEOUT,
  async (t) => {
    const { port, sent, asked, requests } = await start(t, answering(ALLOWED))
    const client = await connectRaw(t, port)
    client.send(
      `${head('POST', '/x?y=1', 'Content-Length: 4\r\nContent-Type: text/plain\r\nCookie: s=1\r\nIf-None-Match: "a"\r\nRange: bytes=0-1\r\nRemote-User: root\r\nRemote_Groups: admin\r\nREMOTE-EMAIL: root@x\r\nX-Forwarded-Uri: /public\r\nX-Forwarded-Method: OPTIONS\r\nConnection: keep-alive, Remote-User, X-Forwarded-Uri, X-Real-IP\r\n')}body`,
    )
    assert.equal((await client.response()).status, 200)
    const session = await connectHttp2(t, port)
    assert.equal(
      (await request(session, { ':path': '/x?y=1', 'remote-user': 'root', remote_user: 'root' })).status,
      200,
    )

    for (const [index, question] of asked().entries()) {
      assert.equal(question.line, 'GET /verify?rd=1 HTTP/1.1')
      assert.equal(question.body, '')
      const { authority } = { authority: valuesOf(question.headers, 'host').join() }
      assert.match(authority, /^auth\.example:/u)
      assert.deepEqual(
        fieldsOf(question, [
          'x-forwarded-method',
          'x-forwarded-proto',
          'x-forwarded-host',
          'x-forwarded-uri',
          'x-forwarded-for',
        ]),
        [index === 0 ? 'POST' : 'GET', 'https', 'a.example', '/x?y=1', '127.0.0.1'],
      )
      const absent = [
        'content-length',
        'content-type',
        'transfer-encoding',
        'if-none-match',
        'range',
        ...COPIED,
      ]
      assert.deepEqual(
        fieldsOf(question, absent),
        absent.map(() => ''),
      )
    }
    assert.equal(asked().length, 2)
    assert.deepEqual(valuesOf(asked()[0]?.headers ?? [], 'cookie'), ['s=1'])
    const [first, second] = sent()
    assert.equal(first?.body, 'body')
    for (const one of [first, second]) {
      assert.ok(one !== undefined)
      assert.deepEqual(fieldsOf(one, [...COPIED, 'x-other']), ['ann', 'dev,ops', '', ''])
      assert.doesNotMatch(one.headers.join('\n'), /root|admin|remote_/iu)
    }
    await waitFor('the log', () => requests.length === 2)
    assert.deepEqual(new Set(requests.map(({ upstream }) => upstream?.split(':')[0])), new Set(['127.0.0.1']))
  },
)

test(
  'forward auth: any other answer is the response, whole, and the upstream is not asked',
  TIMEOUT,
  async (t) => {
    const { port, sent, asked, requests } = await start(t, answering(LOGIN))
    const client = await connectRaw(t, port)
    client.send(head('GET'))
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.body], [302, 'login'])
    assert.match(
      answer.head,
      /\r\nlocation: https:\/\/auth\.example\/\?rd=https%3A%2F%2Fa\.example%2Fx\r\n/iu,
    )
    assert.match(answer.head, /\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n/iu)
    client.send(head('HEAD'))
    assert.equal((await client.response({ toHead: true })).status, 302)
    // The body of a refused request is no request.
    client.send(
      `${head('POST', '/x', 'Content-Length: 40\r\n')}GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n`,
    )
    assert.equal((await client.response()).status, 302)
    const session = await connectHttp2(t, port)
    const over2 = await request(session, { ':path': '/x' })
    assert.deepEqual([over2.status, over2.body, over2.headers['set-cookie']], [302, 'login', ['a=1', 'b=2']])
    const upgrading = await connectRaw(t, port)
    upgrading.send(head('GET', '/chat', WEBSOCKET))
    assert.equal((await upgrading.response()).status, 302)
    await waitFor('the log', () => requests.length === 5)
    assert.equal(asked().length, 5)
    assert.deepEqual(sent(), [])
  },
)

test('forward auth: a WebSocket begins only after 2xx, with the fields of the answer', TIMEOUT, async (t) => {
  const { port, sent, asked } = await start(t, answering(ALLOWED))
  const client = await connectRaw(t, port)
  client.send(head('GET', '/chat', `${WEBSOCKET}Remote-User: root\r\n`))
  // The upstream answers 200, which is no WebSocket, but it was asked.
  await client.response()
  const [question] = asked()
  assert.ok(question !== undefined)
  assert.deepEqual(fieldsOf(question, ['upgrade', 'x-forwarded-uri', 'x-forwarded-method']), [
    '',
    '/chat',
    'GET',
  ])
  const [handshake] = sent()
  assert.ok(handshake !== undefined)
  assert.deepEqual(fieldsOf(handshake, ['upgrade', 'remote-user']), ['websocket', 'ann'])
})

test(
  'forward auth: a service that fails in any way is 502, logged, and lets nobody in',
  TIMEOUT,
  async (t) => {
    const failures: readonly [string, Behaviour | undefined, RegExp][] = [
      ['nobody listens', undefined, /connection refused/u],
      ['it closes', ({ socket }) => socket.destroy(), /reset|closed|truncated/u],
      ['it speaks no HTTP', ({ socket }) => void socket.write('220 mail.example ESMTP\r\n\r\n'), /./u],
      ['it is cut short', ({ socket }) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx'), /./u],
      ['it says nothing', () => {}, /timeout/u],
    ]
    for (const [name, behave, error] of failures) {
      const timeoutMs = name === 'it says nothing' ? 300 : 20_000
      const { port, sent, upstreamErrors } = await start(t, behave, { timeoutMs })
      const client = await connectRaw(t, port)
      client.send(head('GET'))
      assert.equal((await client.response()).status, 502, name)
      assert.match(upstreamErrors.at(-1)?.error ?? '', error, name)
      assert.deepEqual(sent(), [], name)
    }
  },
)

test(
  'forward auth: a connection that Negotiate has authenticated asks for nobody else',
  TIMEOUT,
  async (t) => {
    const { port, service, asked } = await start(t, answering(ALLOWED))
    const authenticated = await connectRaw(t, port)
    authenticated.send(head('GET', '/x', 'Authorization: Negotiate dG9rZW4=\r\n'))
    assert.equal((await authenticated.response()).status, 200)
    const other = await connectRaw(t, port)
    other.send(head('GET'))
    assert.equal((await other.response()).status, 200)
    assert.equal(asked().length, 2)
    assert.equal(service?.connections.length, 2)
  },
)

test(
  'forward auth: addresses come first, a route without it asks nobody, a client that goes ends the question',
  TIMEOUT,
  async (t) => {
    const denied = await start(t, answering(ALLOWED), { deny: ['127.0.0.0/8'] })
    const outsider = await connectRaw(t, denied.port)
    outsider.send(head('GET'))
    assert.equal((await outsider.response()).status, 403)
    assert.deepEqual(denied.asked(), [])

    const silent = await start(t, () => {})
    const client = await connectRaw(t, silent.port)
    client.send(head('GET', '/open/x', 'Remote-Groups: own\r\n'))
    assert.equal((await client.response()).status, 200)
    assert.deepEqual(silent.asked(), [])
    client.send(head('GET'))
    await waitFor('the question', () => silent.asked().length === 1)
    client.socket.destroy()
    await waitFor('its end', () => silent.service?.newest().socket.destroyed === true)
    await waitFor('the log', () => silent.requests.at(-1)?.status === 499)
  },
)
