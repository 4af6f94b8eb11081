// Requests without content, from real clients to real servers: lighttpd and Python ask for a length (411), nginx's
// WebDAV cannot do without one, and a browser, nghttp and Node's HTTP/2 client each send their own kind of nothing.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openPage } from '../../harness/clients/browser.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { Program } from '../../harness/program.ts'
import { startProxy } from '../../harness/proxy.ts'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import type { RequestOptions } from '../../harness/clients/request.ts'
import { connect2, request, requestOn } from '../../harness/clients/request.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { runTool } from '../../harness/system/tool.ts'
import { waitFor } from '../../harness/wait.ts'
import { findProgram } from '../../requirements.ts'

/** Chromium takes names under localhost for this machine. */
const HOSTS = { lighttpd: 'lighttpd.test', dav: 'dav.test', python: 'python.test', echo: 'echo.localhost' }

const PYTHON = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        length = self.headers.get('Content-Length')
        if length is None:
            return self.send_error(411)
        body = self.rfile.read(int(length))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_PUT = do_POST
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
`

async function startServer(t: TestContext, name: string, port: number, args: readonly string[]) {
  const file = findProgram(name)
  assert.ok(file !== undefined, `there is no ${name}`)
  const server = new Program(t, file, args)
  await waitFor(`${name} to listen`, async () => {
    if (server.hasExited) throw new Error(`${name} has ended: ${server.stderr.text}`)
    return await accepts(port)
  })
}

async function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = createConnection({ host: '127.0.0.1', port })
  socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
  const isListening = await promise
  socket.destroy()
  return isListening
}

async function startServers(t: TestContext): Promise<Record<'lighttpd' | 'dav' | 'python', number>> {
  const directory = temporaryDirectory(t)
  const root = join(directory, 'root')
  mkdirSync(root)
  writeFileSync(join(root, 'file.html'), 'file')
  const ports = { lighttpd: await freePort(), dav: await freePort(), python: await freePort() }
  const lighttpdPath = join(directory, 'lighttpd.conf')
  writeFileSync(
    lighttpdPath,
    `server.document-root = "${root}"
server.bind = "127.0.0.1"
server.port = ${ports.lighttpd}
`,
  )
  const nginxPath = join(directory, 'nginx.conf')
  writeFileSync(
    nginxPath,
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy; fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;
  server { listen 127.0.0.1:${ports.dav}; root ${root}; dav_methods PUT DELETE; }
}
`,
  )
  await Promise.all([
    startServer(t, 'lighttpd', ports.lighttpd, ['-D', '-f', lighttpdPath]),
    startServer(t, 'nginx', ports.dav, ['-p', directory, '-e', 'stderr', '-c', nginxPath]),
    startServer(t, 'python3', ports.python, ['-c', PYTHON, String(ports.python)]),
  ])
  return ports
}

test('requests without content, from real clients to real servers', async (t) => {
  const echo = await HttpOrigin.start(t, (incoming, response) => {
    response.setHeader('content-type', 'text/html')
    incoming.resume().on('end', () => response.end('ok'))
  })
  const ca = await TestCa.create(t)
  const leaf = await ca.issue(Object.values(HOSTS))
  const [httpsPort, httpPort] = [await freePort(), await freePort()]
  const ports = await startServers(t)
  await startProxy(t, {
    workers: 1,
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: httpsPort,
        http_port: httpPort,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: [
          { host: HOSTS.lighttpd, upstream: `127.0.0.1:${ports.lighttpd}` },
          { host: HOSTS.dav, upstream: `127.0.0.1:${ports.dav}` },
          { host: HOSTS.python, upstream: `127.0.0.1:${ports.python}` },
          { host: HOSTS.echo, upstream: echo.upstream },
        ],
      },
    ],
  })
  const target = (host: string): RequestOptions => ({ host, port: httpsPort, ca: ca.certPem })
  // A browser may ask for more than it is told to.
  const lengthOfLast = (path: string): readonly string[] => {
    const last = echo.requests.findLast(({ target: asked }) => asked === path)
    assert.ok(last !== undefined)
    return [...valuesOf(last, 'content-length'), ...valuesOf(last, 'transfer-encoding')]
  }

  /** Without a length and with `Content-Length: 0`, over HTTP/1.1 and then over HTTP/2. */
  async function statuses(host: string, method: string, path: string): Promise<number[]> {
    const raw = await connectRaw(t, httpsPort, { serverName: host })
    const session = connect2(target(host))
    t.after(() => session.destroy())
    // Node's own client adds a length to every POST and PUT of HTTP/1.1.
    const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n`
    raw.send(`${head}\r\n${head}Content-Length: 0\r\nConnection: close\r\n\r\n`)
    await raw.closed()
    const overHttp1 = [...raw.received().matchAll(/HTTP\/1\.1 (\d+)/gu)].map(([, status]) => Number(status))
    const overHttp2: number[] = []
    for (const headers of [{}, { 'content-length': '0' }]) {
      overHttp2.push((await requestOn(session, { ...target(host), method, path, headers })).status)
    }
    return [...overHttp1, ...overHttp2]
  }

  await t.test('an empty POST to lighttpd is not 411', async () => {
    assert.deepEqual(await statuses(HOSTS.lighttpd, 'POST', '/file.html'), [200, 200, 200, 200])
  })

  await t.test('an empty PUT makes a file in WebDAV of nginx', async () => {
    assert.deepEqual(await statuses(HOSTS.dav, 'PUT', '/empty'), [201, 204, 204, 204])
    assert.equal((await request({ ...target(HOSTS.dav), path: '/empty' })).headers['content-length'], '0')
  })

  await t.test('an empty POST or PUT to a Python handler is not 411', async () => {
    for (const method of ['POST', 'PUT']) {
      assert.deepEqual(await statuses(HOSTS.python, method, '/'), [200, 200, 200, 200])
    }
  })

  await t.test("Node's HTTP/2 client: one empty DATA frame behind the head is an empty body", async () => {
    const session = connect2(target(HOSTS.echo))
    t.after(() => session.destroy())
    for (const method of ['POST', 'PUT', 'OPTIONS', 'GET']) {
      const answer = await requestOn(session, { ...target(HOSTS.echo), method, body: '' })
      assert.deepEqual([answer.status, answer.body], [200, 'ok'], method)
      // The head has gone up by the time that the end comes; HAProxy and Caddy send the same.
      assert.deepEqual(lengthOfLast('/'), ['chunked'], method)
    }
    const dav = connect2(target(HOSTS.dav))
    t.after(() => dav.destroy())
    const put = { ...target(HOSTS.dav), path: '/frame', method: 'PUT', body: '' }
    assert.equal((await requestOn(dav, put)).status, 201)
  })

  await t.test('nghttp: the end of the stream with the head, and in an empty DATA frame', async () => {
    const url = `https://127.0.0.1:${httpsPort}/nghttp`
    const authority = `:authority: ${HOSTS.echo}:${httpsPort}`
    const asked = echo.requests.length
    await runTool('nghttp', ['-n', '-t', '20', '-H', authority, '-H', ':method: POST', url])
    assert.deepEqual(lengthOfLast('/nghttp'), ['0'])
    await runTool('nghttp', ['-n', '-t', '20', '-H', authority, '-d', '/dev/null', url])
    assert.deepEqual(lengthOfLast('/nghttp'), ['0'])
    await runTool('nghttp', [
      '-n',
      '-t',
      '20',
      '-H',
      authority,
      '--no-content-length',
      '-d',
      '/dev/null',
      url,
    ])
    assert.deepEqual(lengthOfLast('/nghttp'), ['chunked'])
    assert.equal(echo.requests.length, asked + 3)
  })

  await t.test(
    'a browser: fetch without a body arrives with its length, and 95 cookies do not lock it out',
    async (subtest) => {
      const url = `https://${HOSTS.echo}:${httpsPort}/`
      const { page } = await openPage(subtest, url)
      const statusOf = async (method: string): Promise<number> =>
        await page.evaluate<number>(`fetch('/fetched', { method: '${method}' }).then(({ status }) => status)`)
      for (const name of ['POST', 'PUT']) {
        assert.equal(await statusOf(name), 200)
        assert.deepEqual(lengthOfLast('/fetched'), ['0'], name)
      }
      const cookies = Array.from({ length: 95 }, (_, i) => ({
        name: `cookie${i}`,
        value: 'v'.repeat(100),
        url,
      }))
      await page.context().addCookies(cookies)
      assert.equal(await statusOf('GET'), 200)
      const last = echo.requests.findLast(({ target: asked }) => asked === '/fetched')
      assert.equal(last?.method, 'GET')
      const sent = valuesOf(last, 'cookie')
      assert.equal(sent.length, 1)
      assert.deepEqual(
        sent[0]?.split('; ').toSorted(),
        cookies.map(({ name, value }) => `${name}=${value}`).toSorted(),
      )
    },
  )
})
