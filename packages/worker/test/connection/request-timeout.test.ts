// The request timeout while both directions stream: it is the upstream's silence that counts, never the client's.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { startUpstream } from '../../../../test/harness/raw-upstream.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 40_000 }
const MEGABYTE = 1024 * 1024
const REQUEST_TIMEOUT_MS = 1_000
const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n'

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

test('an answer that goes on beside its upload, also after its client was slow', TIMEOUT, async (t) => {
  const upstream = await startUpstream(t, () => {})
  const site = siteOf(upstream.port, { requestTimeoutMs: REQUEST_TIMEOUT_MS })
  const { port, upstreamErrors } = await startSiteServer(t, [site])
  const client = await connectRaw(t, port)
  client.send(POST)
  await waitFor('the request', () => upstream.received().includes('hi'))
  const { socket } = upstream.newest()
  client.socket.pause()
  socket.write(HEAD + chunk('x'.repeat(16 * MEGABYTE)))
  await waitFor('the upstream to be held back', () => socket.writableLength > 0)
  await delay(2 * REQUEST_TIMEOUT_MS)
  client.socket.resume()
  for (let i = 0; i < 8; i++) {
    await delay(REQUEST_TIMEOUT_MS / 4)
    socket.write(chunk(`tick ${i}`))
  }
  client.send('0\r\n\r\n')
  socket.write('0\r\n\r\n')
  await client.closed()
  assert.match((await client.response()).body, /xtick 0.*tick 7$/u)
  assert.deepEqual(upstreamErrors, [])
})

test('an upstream that does not read because its answer is not read: not late', TIMEOUT, async (t) => {
  let isReading = false
  const upstream = await startUpstream(t, (connection) => {
    if (!isReading) connection.socket.pause()
  })
  const site = siteOf(upstream.port, { requestTimeoutMs: REQUEST_TIMEOUT_MS, bodyLimitBytes: 64 * MEGABYTE })
  const { port, upstreamErrors } = await startSiteServer(t, [site])
  const client = await connectRaw(t, port)
  client.send(POST)
  await waitFor('the request', () => upstream.connections.length > 0)
  const { socket } = upstream.newest()
  client.socket.pause()
  socket.write(HEAD + chunk('x'.repeat(16 * MEGABYTE)))
  await delay(REQUEST_TIMEOUT_MS / 2)
  client.send(chunk('y'.repeat(16 * MEGABYTE)))
  await delay(3 * REQUEST_TIMEOUT_MS)
  client.socket.resume()
  isReading = true
  socket.resume()
  client.send('0\r\n\r\n')
  await waitFor('the end of the request', () => upstream.newest().received.endsWith('0\r\n\r\n'))
  socket.write('0\r\n\r\n')
  await client.closed()
  assert.equal((await client.response()).body.length, 16 * MEGABYTE)
  assert.deepEqual(upstreamErrors, [])
})
