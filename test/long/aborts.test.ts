// Whoever leaves, and however early: the other side is let go at once, and nothing of either stays.
// 500 times in the ordinary run, 10,000 times in the long one.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import { test, type TestContext } from 'node:test'
import { memoryOf } from '../harness/processes.ts'
import { connectRaw } from '../harness/clients/raw-client.ts'
import { startUpstream, type RawUpstream, type UpstreamConnection } from '../harness/raw-upstream.ts'
import { connect2, type RequestOptions } from '../harness/clients/request.ts'
import { HOST, serveSite } from '../harness/site.ts'
import { IS_FULL } from '../harness/size.ts'
import { waitFor } from '../harness/wait.ts'

const ABORTS = IS_FULL ? 10_000 : 500
const AT_A_TIME = 10
/** A session is not to be taken for a rapid-reset attack. */
const ABORTS_PER_SESSION = 100
const CANCEL = 8
const PARTIAL = 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome'
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n'
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'

/** What the upstream does is in the path. */
function behave({ socket, received }: UpstreamConnection): void {
  const path = /^[A-Z]+ (\S+) [^]*\r\n\r\n/u.exec(received)?.[1]
  if (path === '/part' || path === '/part-reset') socket.write(PARTIAL)
  if (path === '/switch' || path === '/switch-reset') socket.write(SWITCHING)
  if (path === '/part-reset' || path === '/switch-reset') setImmediate(() => socket.resetAndDestroy())
  if (path === '/reset') socket.resetAndDestroy()
  if (path === '/close') socket.end()
}

/** One conversation that somebody leaves. */
type Abort = (world: World) => Promise<void>

interface World {
  readonly t: TestContext
  readonly target: RequestOptions
  readonly upstream: RawUpstream
  readonly session: ClientHttp2Session
}

/** Over HTTP/1.1: sends, waits for `seen` (or for the upstream to have it all), and is gone. */
function http1(request: string, seen?: RegExp): Abort {
  return async ({ t, target, upstream }) => {
    const client = await connectRaw(t, target.port, { serverName: HOST })
    const before = upstream.connections.length
    client.send(request)
    if (seen === undefined) {
      await waitFor(
        'the upstream to have it',
        () => upstream.connections.length > before || client.socket.closed,
      )
    } else {
      await waitFor('the answer, or its end', () => seen.test(client.received()) || client.socket.closed)
    }
    client.socket.destroy()
  }
}

type Moment = (stream: ClientHttp2Stream, world: World) => Promise<unknown>

/** Over HTTP/2: the stream is reset at that moment, unless it has ended before. */
function http2(headers: OutgoingHttpHeaders, moment: Moment, body?: string): Abort {
  return async (world) => {
    const stream = world.session.request(
      { ':authority': HOST, ...headers },
      { endStream: body === undefined },
    )
    const closed = new Promise((resolve) => stream.once('close', resolve))
    stream.on('error', () => {})
    stream.resume()
    if (body !== undefined) stream.write(body)
    await Promise.race([moment(stream, world), closed])
    stream.close(CANCEL)
    await closed
  }
}

const onHead: Moment = async (stream) => await once(stream, 'response')
const never: Moment = async () => await new Promise(() => {})
const onArrival: Moment = async (_stream, { upstream }) => {
  const before = upstream.connections.length
  await waitFor('the upstream to have it', () => upstream.connections.length > before)
}

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${more}\r\n`
const upload = `POST /wait HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100000\r\n\r\nsome`

const ABORT_KINDS: Readonly<Record<string, Abort>> = {
  'h1 before the answer': http1(get('/wait')),
  'h1 within a download': http1(get('/part'), /some/u),
  'h1 within an upload': http1(upload),
  'h1 before 101': http1(get('/wait', UPGRADE)),
  'h1 within a tunnel': http1(get('/switch', UPGRADE), /101 Switching/u),
  'h2 before the answer': http2({ ':path': '/wait' }, onArrival),
  'h2 within a download': http2({ ':path': '/part' }, onHead),
  'h2 within an upload': http2({ ':path': '/wait', ':method': 'POST' }, onArrival, 'some'),
  'upstream before its answer': http1(get('/reset'), /502/u),
  'upstream closes before its answer': http2({ ':path': '/close' }, never),
  'upstream within a download, h1': http1(get('/part-reset'), /never/u),
  'upstream within a download, h2': http2({ ':path': '/part-reset' }, never),
  'upstream within a tunnel': http1(get('/switch-reset', UPGRADE), /never/u),
}

/** Open files of a process, by what they are. */
function descriptorsOf(pid: number): { sockets: number; others: number } {
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return ''
    }
  })
  const sockets = targets.filter((target) => target.startsWith('socket:')).length
  return { sockets, others: targets.length - sockets }
}

async function abortMany(
  t: TestContext,
  target: RequestOptions,
  upstream: RawUpstream,
  count: number,
): Promise<void> {
  const kinds = Object.values(ABORT_KINDS)
  let next = 0
  const one = async (): Promise<void> => {
    while (next < count) {
      const session = connect2(target)
      t.after(() => session.destroy())
      await once(session, 'connect')
      for (let i = 0; i < ABORTS_PER_SESSION && next < count; i++) {
        const kind = kinds[next++ % kinds.length]
        await kind?.({ t, target, upstream, session })
      }
      session.destroy()
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, one))
}

test(`${ABORTS} conversations that somebody leaves: neither side keeps a socket`, async (t) => {
  const upstream = await startUpstream(t, behave)
  const { proxy, target } = await serveSite(t, {
    upstream: upstream.authority,
    config: { workers: 1, limits: { connections_per_client: 1000 } },
  })
  const [worker = 0] = proxy.workerPids()
  const openUpstreams = (): number => upstream.connections.filter(({ socket }) => !socket.destroyed).length
  const atRest = async () => {
    await waitFor('every upstream connection to be closed', () => openUpstreams() === 0, 20_000)
    return await waitFor('the worker to be at rest', async () => {
      const before = descriptorsOf(worker)
      await new Promise((resolve) => setTimeout(resolve, 250))
      const { sockets, others } = descriptorsOf(worker)
      return before.sockets === sockets && { sockets, others, rssBytes: memoryOf(worker).rssBytes }
    })
  }
  await abortMany(t, target, upstream, Object.keys(ABORT_KINDS).length * 3)
  const before = await atRest()
  await abortMany(t, target, upstream, ABORTS)
  const after = await atRest()
  t.diagnostic(`before: ${JSON.stringify(before)}; after ${ABORTS} aborts: ${JSON.stringify(after)}`)
  assert.deepEqual(
    { sockets: after.sockets, others: after.others },
    { sockets: before.sockets, others: before.others },
  )
  assert.equal(proxy.workerPids()[0], worker)
  assert.doesNotMatch(proxy.stdout.text, /INTERNAL_ERROR|WORKER_EXIT/u)
})
