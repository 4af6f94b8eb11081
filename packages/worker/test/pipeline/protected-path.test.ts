// A protected route has no side entrance: whatever spelling of its path a client sends, and however the upstream reads
// paths, nobody gets what is behind it. The same spellings of an open path do get there, so that they are worth sending.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { join, posix } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { freePort, listen } from '../../../../test/harness/ports.ts'
import { Program } from '../../../../test/harness/program.ts'
import { IS_FULL } from '../../../../test/harness/size.ts'
import { waitFor } from '../../../../test/harness/wait.ts'
import { findProgram } from '../../../../test/requirements.ts'
import { Chance } from '../fuzz/chance.ts'
import { answerOf, connectHttp2, open } from '../support/http2/client.ts'
import { settingsOf, siteOf, startSiteServer } from '../support/site-server.ts'

const SPELLINGS = IS_FULL ? 50_000 : 3_000
const SEED = 13
const AT_A_TIME = 20
/** Of those that spell the open path, so many have to get there by the tidiest upstream. */
const REACHED_SHARE = 0.02
const SECRET = 'the secret'

const PYTHON = `
import http.server, functools, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
handler = functools.partial(Handler, directory=sys.argv[2])
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), handler).serve_forever()
`

/** The directory has /admin/secret and /open/secret. */
async function startUpstreams(t: TestContext): Promise<ReadonlyMap<string, number>> {
  const directory = temporaryDirectory(t)
  const root = join(directory, 'root')
  for (const name of ['admin', 'open']) {
    mkdirSync(join(root, name), { recursive: true })
    writeFileSync(join(root, name, 'secret'), SECRET)
  }
  const [nginx, python] = [await freePort(), await freePort()]
  const conf = join(directory, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join(' ')
  writeFileSync(
    conf,
    `daemon off; master_process off; pid ${directory}/nginx.pid; error_log /dev/null;
events {}
http { access_log off; ${temporary} server { listen 127.0.0.1:${nginx}; root ${root}; } }
`,
  )
  await Promise.all([
    startServer(t, 'nginx', nginx, ['-p', directory, '-e', '/dev/null', '-c', conf]),
    startServer(t, 'python3', python, ['-c', PYTHON, String(python), root]),
  ])
  const node = await listen(
    t,
    http.createServer((request, response) => response.end(readLeniently(request.url))),
  )
  return new Map([
    ['a.example', nginx],
    ['b.example', python],
    ['n.wild.example', node],
  ])
}

async function startServer(
  t: TestContext,
  name: string,
  port: number,
  args: readonly string[],
): Promise<void> {
  const program = findProgram(name)
  assert.ok(program !== undefined, name)
  // It runs until the test ends.
  assert.ok(new Program(t, program, args).pid > 0)
  await waitFor(`${name} to listen`, async () => {
    const response = await fetch(`http://127.0.0.1:${port}/open/secret`).catch(() => undefined)
    return (await response?.text()) === SECRET
  })
}

/** A program that decodes twice, takes a backslash for a slash, and forgets parameters of segments. */
function readLeniently(url = ''): string {
  let path = url.replace(/[?#].*$/su, '')
  for (let times = 0; times < 2; times++) {
    try {
      path = decodeURIComponent(path)
    } catch {
      break
    }
  }
  path = posix.normalize(path.replaceAll('\\', '/').replaceAll(/;[^/]*/gu, ''))
  return /^\/(?:admin|open)\/secret\/?$/u.test(path) ? SECRET : 'nothing'
}

/** A path that some server may read as /`name`/secret. */
function spell(chance: Chance, name: string): string {
  let path = chance.pick([
    `/${name}/secret`,
    `/x/../${name}/secret`,
    `/./${name}//secret`,
    `//${name}/secret`,
    `/other/..;/${name}/secret`,
    `/..%2f${name}/secret`,
    `/x%2f..%2f${name}/secret`,
  ])
  for (let changes = chance.below(4); changes > 0; changes--) path = change(chance, path)
  return path
}

function change(chance: Chance, path: string): string {
  const at = 1 + chance.below(path.length)
  const [before, after] = [path.slice(0, at), path.slice(at)]
  switch (chance.below(8)) {
    case 0:
      return `${before}${encoded(chance, after.slice(0, 1))}${after.slice(1)}`
    case 1:
      return slashAs(chance, path, [
        '%2F',
        '%2f',
        '%5C',
        '%5c',
        '\\',
        '%252f',
        '//',
        '/./',
        '%c0%af',
        '%ef%bc%8f',
      ])
    case 2:
      return slashAs(chance, path, ['/x/../', '/%2e/', '/x/%2e%2e/', '/x/.%2E/', '/.;/', '/x/..;a=b/'])
    case 3:
      return path.replace('%', '%25')
    case 4:
      return slashAs(chance, path, [';a=b/', ';/', '%3b/'])
    case 5:
      return `${path}${chance.pick(['/', '?', '?a=/open/', '%00', '%20', '.', '/.', '%2f', ';', '#'])}`
    case 6:
      return chance.mixCase(path)
    default:
      return `${before}${chance.pick(['%00', '%0d', '%09', '%7f', '.'])}${after}`
  }
}

function encoded(chance: Chance, character: string): string {
  return character === '' ? '' : chance.mixCase(`%${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** One slash of `path` replaced, but the first. */
function slashAs(chance: Chance, path: string, replacements: readonly string[]): string {
  const slashes = [...path.matchAll(/(?<!^)\//gu)].map(({ index }) => index)
  if (slashes.length === 0) return path
  const at = chance.pick(slashes)
  return `${path.slice(0, at)}${chance.pick(replacements)}${path.slice(at + 1)}`
}

test(
  `${SPELLINGS} spellings of a protected path: nobody gets there`,
  { timeout: IS_FULL ? 900_000 : 120_000 },
  async (t) => {
    const upstreams = await startUpstreams(t)
    const sites = [...upstreams].map(([host, port]) =>
      siteOf(port, {
        host,
        routes: [
          {
            ...settingsOf(port, { access: { allow: [], deny: ['0.0.0.0/0', '::/0'] } }),
            match: { path: '/admin/', methods: [], headers: [], query: [] },
          },
        ],
      }),
    )
    const limits = { requestsPerConnection: 1_000_000, connectionsPerClient: 10_000 }
    const { port } = await startSiteServer(t, sites, limits)
    const session = await connectHttp2(t, port)
    const hosts = [...upstreams.keys()]
    const reached = new Map(hosts.map((host) => [host, 0]))
    let next = 0
    const client = async (): Promise<void> => {
      while (next < SPELLINGS) {
        const number = next++
        const host = hosts[number % hosts.length] ?? ''
        const chance = new Chance(SEED + number)
        const path = spell(chance, 'admin')
        const ask = number % 10 === 0 ? async (url: string) => await overHttp1(t, port, host, url) : overHttp2
        assert.doesNotMatch(
          await ask(path, session, host),
          new RegExp(SECRET, 'u'),
          `${host} ${JSON.stringify(path)}`,
        )
        const openPath = spell(new Chance(SEED + number), 'open')
        if ((await overHttp2(openPath, session, host)).includes(SECRET))
          reached.set(host, (reached.get(host) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, client))
    t.diagnostic(`an open path was reached by ${JSON.stringify([...reached])}`)
    for (const [host, count] of reached) assert.ok(count > (SPELLINGS / hosts.length) * REACHED_SHARE, host)
  },
)

async function overHttp2(path: string, session: ClientHttp2Session, host: string): Promise<string> {
  const stream = open(session, { ':path': path, ':authority': host })
  return (await answerOf(stream)).body
}

async function overHttp1(t: TestContext, port: number, host: string, path: string): Promise<string> {
  const client = await connectRaw(t, port)
  client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  if (!client.socket.closed) await once(client.socket, 'close')
  return client.received()
}
