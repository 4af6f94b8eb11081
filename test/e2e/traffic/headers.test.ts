// What the upstream and the client get to see of each other's header fields.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import { answering, startUpstream } from '../../harness/raw-upstream.ts'
import { request2 } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'

const RESPONSE =
  'HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nX-Kept: yes\r\nX-Dropped: hop\r\nConnection: keep-alive, X-Dropped\r\n' +
  'Keep-Alive: timeout=77\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok'

const FORGED = {
  'X-Forwarded-For': '192.0.2.1, 192.0.2.2',
  'X-Real-IP': '192.0.2.1',
  'X-Forwarded-Proto': 'gopher',
  'X-Forwarded-Host': 'forged.test',
  Forwarded: 'for=192.0.2.1',
}

/** Fields of the one request an upstream received, names in lower case. */
function fieldsOf(received: string): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  const [head = ''] = received.split('\r\n\r\n')
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    fields.set(name, [...(fields.get(name) ?? []), line.slice(colon + 1).trim()])
  }
  return fields
}

function assertForwarding(fields: Map<string, string[]>, authority: string): void {
  assert.deepEqual(fields.get('x-forwarded-for'), ['127.0.0.1'])
  assert.deepEqual(fields.get('x-real-ip'), ['127.0.0.1'])
  assert.deepEqual(fields.get('x-forwarded-proto'), ['https'])
  assert.deepEqual(fields.get('x-forwarded-host'), [authority])
  assert.deepEqual(fields.get('host'), [authority])
  assert.equal(fields.has('forwarded'), false)
}

test('headers: over HTTP/1.1 the upstream sees one truth about the client and nothing meant for the hop', async (t) => {
  const upstream = await startUpstream(t, answering(RESPONSE))
  const { httpsPort, target } = await serveSite(t, { upstream: upstream.authority })
  const authority = `${HOST}:${httpsPort}`
  const client = await connectRaw(t, httpsPort, { serverName: HOST, ca: target.ca })
  client.send(
    [
      'GET /a//b/../c?q=%2F&r HTTP/1.1',
      `Host: ${authority}`,
      ...Object.entries(FORGED).map(([name, value]) => `${name}: ${value}`),
      'x-forwarded-for: 192.0.2.3',
      'X-REAL-IP: 192.0.2.3',
      'Connection: keep-alive, X-Secret, TE, Upgrade',
      'Connection: X-Other',
      'X-Secret: hop',
      'X-Other: hop',
      'TE: trailers',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'Proxy-Authorization: Basic Zm9yZ2Vk',
      'Upgrade: h2c',
      'X-End-To-End: kept',
      '\r\n',
    ].join('\r\n'),
  )
  const answer = await client.until((text) => text.endsWith('\r\n\r\nok'))
  const received = upstream.received()
  assert.ok(received.startsWith('GET /a//b/../c?q=%2F&r HTTP/1.1\r\n'), 'path and query byte for byte')

  const fields = fieldsOf(received)
  assertForwarding(fields, authority)
  assert.deepEqual(fields.get('x-end-to-end'), ['kept'])
  const hopByHop = [
    'x-secret',
    'x-other',
    'te',
    'keep-alive',
    'proxy-connection',
    'proxy-authorization',
    'upgrade',
  ]
  for (const name of hopByHop) assert.equal(fields.has(name), false, name)
  // The proxy's own connection to the upstream may be described, the client's may not.
  assert.match((fields.get('connection') ?? ['keep-alive']).join(), /^keep-alive$/i)

  const answered = fieldsOf(answer)
  assert.deepEqual(answered.get('x-kept'), ['yes'])
  assert.equal(answered.has('server'), false)
  assert.equal(answered.has('x-dropped'), false)
  assert.equal(answered.has('via'), false)
  assert.doesNotMatch(answer, /timeout=77/)
})

test('headers: over HTTP/2 the upstream sees the same', async (t) => {
  const upstream = await startUpstream(t, answering(RESPONSE))
  const { httpsPort, target } = await serveSite(t, { upstream: upstream.authority })
  const answer = await request2({
    ...target,
    path: '/a//b/../c?q=%2F&r',
    headers: { ...FORGED, te: 'trailers', 'x-end-to-end': 'kept' },
  })
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['server'], undefined)
  assert.equal(answer.headers['x-kept'], 'yes')
  assert.equal(answer.headers['x-dropped'], undefined)

  const received = upstream.received()
  assert.ok(received.startsWith('GET /a//b/../c?q=%2F&r HTTP/1.1\r\n'))
  const fields = fieldsOf(received)
  assertForwarding(fields, `${HOST}:${httpsPort}`)
  assert.deepEqual(fields.get('x-end-to-end'), ['kept'])
  assert.equal(fields.has('te'), false)
  assert.ok([...fields.keys()].every((name) => !name.startsWith(':')))
})

test('headers: an answer of the proxy itself names no product', async (t) => {
  const upstream = await startUpstream(t, answering(RESPONSE))
  const { httpsPort, target } = await serveSite(t, { upstream: upstream.authority })
  const client = await connectRaw(t, httpsPort, { serverName: HOST, ca: target.ca })
  client.send('GET / HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n')
  await client.closed()
  const answer = client.received()
  const [head = '', body] = answer.split('\r\n\r\n')
  assert.match(head, /^HTTP\/1\.1 (404 Not Found|421 Misdirected Request)\r\n/)
  assert.equal(body, head.slice('HTTP/1.1 404 '.length, head.indexOf('\r\n')))
  assert.doesNotMatch(answer, /proxy|node|server:/i)
  assert.equal(upstream.connections.length, 0)
})
