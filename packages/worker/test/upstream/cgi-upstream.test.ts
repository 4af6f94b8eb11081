// A real upstream whose CGI scripts end their header lines in LF alone, over both protocols of the client.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connectHttp2, request } from '../support/http2/client.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'

const TIMEOUT = { timeout: 60_000 }
const SCRIPT = `#!/bin/sh
body=$(head -c "\${CONTENT_LENGTH:-0}")
printf 'Content-Type: text/plain\\nX-Script: yes\\n\\n%s %s %s' "$REQUEST_METHOD" "$QUERY_STRING" "$body"
`

/**
 * `python3 -m http.server --cgi` on a free port. It speaks HTTP/1.0: told to keep its connections, it frames no response
 * of a script, and throws away the request that follows one.
 */
async function startPython(t: TestContext): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'cgi-'))
  // The script runs as nobody.
  chmodSync(directory, 0o755)
  mkdirSync(join(directory, 'cgi-bin'))
  writeFileSync(join(directory, 'cgi-bin', 'hello.sh'), SCRIPT, { mode: 0o755 })
  writeFileSync(join(directory, 'plain.txt'), 'plain')
  const args = ['-u', '-m', 'http.server', '--cgi', '-b', '127.0.0.1', '0']
  const child = spawn('python3', args, { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] })
  t.after(() => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true })
  })
  let said = ''
  for await (const chunk of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += String(chunk)
    const port = /port (\d+)/.exec(said)?.[1]
    if (port !== undefined) return Number(port)
  }
  throw new Error('python3 has not started')
}

test("Python's CGI server, over HTTP/1.1 kept alive and HTTP/2", TIMEOUT, async (t) => {
  const site = siteOf(await startPython(t), { requestTimeoutMs: 20_000 })
  const { port } = await startSiteServer(t, [site])
  const client = await connectRaw(t, port)
  const session = await connectHttp2(t, port)
  for (let i = 0; i < 3; i++) {
    client.send(`GET /cgi-bin/hello.sh?n=${i} HTTP/1.1\r\nHost: a.example\r\n\r\n`)
    const got = await client.response()
    assert.deepEqual([got.status, got.body], [200, `GET n=${i} `])
    assert.match(got.head, /^x-script: yes\r?$/imu)
    client.send('POST /cgi-bin/hello.sh HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody')
    assert.equal((await client.response()).body, 'POST  body')
    client.send('GET /plain.txt HTTP/1.1\r\nHost: a.example\r\n\r\n')
    assert.equal((await client.response()).body, 'plain')
    const responses = await Promise.all([
      request(session, { ':path': `/cgi-bin/hello.sh?h2=${i}` }),
      request(session, { ':path': '/cgi-bin/hello.sh', ':method': 'POST', 'content-length': '4' }, 'body'),
      request(session, { ':path': '/plain.txt' }),
    ])
    assert.deepEqual(
      responses.map(({ status, body }) => [status, body]),
      [
        [200, `GET h2=${i} `],
        [200, 'POST  body'],
        [200, 'plain'],
      ],
    )
  }
})
