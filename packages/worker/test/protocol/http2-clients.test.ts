// Clients that others have written, each with what it does its own way: downloads, uploads, many streams, trailers, small
// windows, pings. What they report is what their users would see.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import tls from 'node:tls'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { runTool } from '../../../../test/harness/system/tool.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { listen } from '../../../../test/harness/ports.ts'

const TIMEOUT = { timeout: 120_000 }
const LARGE_BYTES = 500_000
const LARGE = Buffer.from(Array.from({ length: LARGE_BYTES }, (_, i) => (i * 7) % 251))
const PYTHON = '/usr/bin/python3'

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function read(stream: http2.ClientHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

/** `/large` is LARGE; a body that comes is answered with its digest; `/trailers` has some. */
async function start(t: TestContext) {
  const upstream = http.createServer((req, res) => {
    const hash = createHash('sha256')
    req.on('data', (chunk: Buffer) => hash.update(chunk))
    req.on('end', () => {
      if (req.url === '/large') {
        res.end(LARGE)
      } else if (req.url === '/trailers') {
        res.writeHead(200, { trailer: 'x-after' })
        res.write('body')
        res.addTrailers({ 'x-after': 'v' })
        res.end()
      } else {
        res.end(req.method === 'POST' ? hash.digest('hex') : 'ok')
      }
    })
  })
  const upstreamPort = await listen(t, upstream)
  t.after(() => upstream.closeAllConnections())
  const running = await startSiteServer(t, [siteOf(upstreamPort, { bodyLimitBytes: 2 * LARGE_BYTES })])
  const directory = mkdtempSync(join(tmpdir(), 'http2-clients-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const large = join(directory, 'large')
  writeFileSync(large, LARGE)
  return { ...running, directory, large }
}

test('curl, nghttp, h2load, python3-h2 and Node get and send what they should', TIMEOUT, async (t) => {
  const { port, large, directory, logged } = await start(t)
  const authority = `a.example:${port}`
  const url = `https://${authority}`

  await t.test('curl: a download, an upload and several requests at once', async () => {
    const curl = ['-sS', '--no-progress-meter', '--http2', '-k', '--resolve', `${authority}:127.0.0.1`]
    const digest = await runTool('curl', [
      ...curl,
      '--data-binary',
      `@${large}`,
      '-H',
      'content-type: x/y',
      url,
    ])
    assert.equal(digest, digestOf(LARGE))
    const head = await runTool('curl', [
      ...curl,
      '-o',
      join(directory, 'got'),
      '-w',
      '%{http_version} %{size_download}',
      `${url}/large`,
    ])
    assert.equal(head, `2 ${LARGE_BYTES}`)
    const several = await runTool('curl', [...curl, '-Z', '--next', ...curl, `${url}/[1-20]`])
    assert.equal(several, 'ok'.repeat(20))
  })

  await t.test('nghttp: padding, small windows, a priority, uploads', async () => {
    // It would send no server name for an address.
    const relay = net.createServer((client) => {
      const server = tls.connect({
        port,
        host: '127.0.0.1',
        servername: 'a.example',
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
      })
      client.on('error', () => server.destroy())
      server.on('error', () => client.destroy())
      client.pipe(server).pipe(client)
    })
    const local = `http://127.0.0.1:${await listen(t, relay)}`
    for (const options of [
      ['-b', '100'],
      ['-w', '10', '-W', '12'],
      ['-p', '1'],
      ['-d', large],
    ]) {
      const out = await runTool('nghttp', [
        '-s',
        '-n',
        '-H',
        ':authority: a.example',
        ...options,
        `${local}/`,
        `${local}/large`,
      ])
      assert.equal(out.match(/ 200 +\S+ \//gu)?.length, 2, out)
    }
  })

  await t.test('h2load: a thousand requests, twenty streams at once, none fails', async () => {
    const options = ['-n', '1000', '-c', '5', '-m', '20', '--connect-to', `127.0.0.1:${port}`]
    const out = await runTool('h2load', [...options, `${url}/`])
    assert.match(out, /requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored/u)
  })

  await t.test('python3-h2: trailers both ways, pings, a window of a thousand bytes', async () => {
    const script = join(import.meta.dirname, 'http2-client.py')
    const result: unknown = JSON.parse(await runTool(PYTHON, [script, String(port)]))
    assert.deepEqual(result, {
      large: digestOf(LARGE),
      posted: digestOf(Buffer.from('hello world')),
      trailers: [['x-after', 'v']],
      pinged: true,
      heads: 50,
      reset: 1,
      alive: '200',
    })
  })

  await t.test('Node: an upload and a download at the same time', async () => {
    const session = http2.connect(url, {
      rejectUnauthorized: false,
      lookup: (_name, options, callback) =>
        options.all === true
          ? callback(null, [{ address: '127.0.0.1', family: 4 }])
          : callback(null, '127.0.0.1', 4),
    })
    const upload = session.request({ ':method': 'POST', ':path': '/' })
    const download = session.request({ ':path': '/large' })
    upload.end(LARGE)
    const [posted, got] = await Promise.all([read(upload), read(download)])
    session.close()
    assert.equal(String(posted), digestOf(LARGE))
    assert.ok(got.equals(LARGE))
  })

  assert.deepEqual(
    logged.filter(({ event }) => event === 'CLIENT_ERROR' || event === 'INTERNAL_ERROR'),
    [],
  )
})
