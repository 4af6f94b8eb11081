// What reads and moves the log of the proxy, run on what the proxy really wrote.
import assert from 'node:assert/strict'
import { cpSync, copyFileSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import { request } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { runTool } from '../../harness/system/tool.ts'
import { waitFor } from '../../harness/wait.ts'

const DEPLOY = join(import.meta.dirname, '../../../deploy')
const FILTERS = join(DEPLOY, 'fail2ban/filter.d')
const TEST = { timeout: 120_000 }

type Filter = 'rate-limit' | 'auth' | 'scan'

/** Request target (`#` becomes a number of its own) -> what the upstream says, and which filter must see it. */
const REQUESTS: readonly (readonly [target: string, status: number, filter: Filter | undefined])[] = [
  ['/login?n=#', 401, 'auth'],
  ['/private/#', 403, 'auth'],
  ['/#?next=/.env', 401, 'auth'],
  ['/.env?n=#', 404, 'scan'],
  ['/.git/config?n=#', 404, 'scan'],
  ['/blog/wp-login.php?n=#', 404, 'scan'],
  ['/WP-ADMIN/setup-config.php?n=#', 404, 'scan'],
  ['/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php?n=#', 404, 'scan'],
  ['/cgi-bin/../../../etc/passwd?n=#', 400, 'scan'],
  ['/.env"n=#', 404, 'scan'],
  // Letters and dots in percent-encoding are the same path (RFC 3986 2.3).
  ['/%2eenv?n=#', 200, 'scan'],
  ['/%2Egit/config?n=#', 404, 'scan'],
  ['/.%65nv?n=#', 404, 'scan'],
  ['/a/%2e%2e/%2e%2e/etc/passwd?n=#', 404, 'scan'],
  // A single-page application says 200 to whatever it is asked for.
  ['/.env?m=#', 200, 'scan'],
  ['/api/.env.production?n=#', 200, 'scan'],
  ['/.git/config?m=#', 200, 'scan'],
  ['/.env?l=#', 500, 'scan'],
  // Not attacks, or not answered as such.
  ['/wp-login.php?n=#', 200, undefined],
  ['/wp-admin/?m=#', 200, undefined],
  ['/.git/HEAD?m=#', 200, undefined],
  ['/.environment?m=#', 200, undefined],
  ['/search?q=/.env&m=#', 200, undefined],
  ['/environment/#', 404, undefined],
  ['/search?q=/.env&n=#', 404, undefined],
  ['/favicon.ico?n=#', 404, undefined],
  ['/.well-known/security.txt?n=#', 404, undefined],
  // Texts that look like fields or lines.
  ['/?n=#&status=401', 200, undefined],
  ['/"status=401"n=#', 200, undefined],
  ['/#"path=/.env"status=404', 200, undefined],
  ['/#\\"status=403', 200, undefined],
  ['/WARN/RATE_LIMIT/client_ip=192.0.2.1/host=#', 200, undefined],
]

test(
  'fail2ban: every attack line that was written is matched, no benign one, and nobody else is blamed',
  TEST,
  async (t) => {
    const statuses = new Map<string, number>()
    const origin = await HttpOrigin.start(t, (incoming, response) => {
      response.statusCode = statuses.get(incoming.url ?? '') ?? 500
      response.end()
    })
    const directory = temporaryDirectory(t)
    const logFile = join(directory, 'proxy.log')
    const { proxy, httpsPort } = await serveSite(t, {
      upstream: origin.upstream,
      config: {
        logging: { log_file_path: logFile },
        rate_limit: { requests_per_second: 1, burst: REQUESTS.length },
      },
    })
    const expected = new Map<string, Filter | undefined>()
    const client = await connectRaw(t, httpsPort, { serverName: HOST, alpn: ['http/1.1'] })
    const send = async (target: string): Promise<void> => {
      const answers = client.received().split('HTTP/1.1 ').length
      client.send(`GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
      await waitFor(`an answer to ${target}`, () => client.received().split('HTTP/1.1 ').length > answers)
    }
    for (const [index, [template, status, filter]] of REQUESTS.entries()) {
      const marker = `${index + 100}`
      const target = template.replace('#', marker)
      statuses.set(target, status)
      expected.set(marker, filter)
      await send(target)
    }
    for (let count = 0; count < 5; count++) await send('/too-much?n=999')
    await proxy.stop()

    const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n')
    const filterOf = (line: string): Filter | undefined => {
      if (line.includes(' WARN RATE_LIMIT ')) return 'rate-limit'
      const [marker] = /(?<=[/=])[12]\d\d(?=[^\d])/.exec(/ path=(.*) status=\d/.exec(line)?.[1] + ' ') ?? []
      return marker === undefined ? undefined : expected.get(marker)
    }
    assert.ok(lines.filter((line) => line.includes(' REQUEST ')).length >= REQUESTS.length)
    for (const filter of ['rate-limit', 'auth', 'scan'] as const) {
      const attacks = lines.filter((line) => filterOf(line) === filter)
      const others = lines.filter((line) => filterOf(line) !== filter)
      assert.ok(attacks.length >= 3, `${filter}: ${attacks.length} lines\n${lines.join('\n')}`)
      const blamed = await blamedBy(filter, attacks, directory)
      assert.deepEqual(
        blamed,
        attacks.map(() => '127.0.0.1'),
        `${filter} on\n${attacks.join('\n')}`,
      )
      assert.deepEqual(await blamedBy(filter, others, directory), [], `${filter} on\n${others.join('\n')}`)
    }
  },
)

test('fail2ban: the jails name filters that exist', TEST, () => {
  const jails = readFileSync(join(DEPLOY, 'fail2ban/jail.d/reverse-proxy.conf'), 'utf8')
  const filters = [...jails.matchAll(/^filter = (\S+)$/gmu)].map(([, name]) => `${name}.conf`)
  assert.deepEqual(filters.toSorted(), globSync('*.conf', { cwd: FILTERS }).toSorted())
  assert.equal([...jails.matchAll(/^backend = auto$/gmu)].length, filters.length)
})

test(
  'fail2ban: the real client reads the jails, and each leaves this machine and its networks alone',
  TEST,
  async (t) => {
    const directory = temporaryDirectory(t)
    cpSync('/etc/fail2ban', directory, { recursive: true })
    cpSync(join(DEPLOY, 'fail2ban'), directory, { recursive: true })
    const commands = await runTool('fail2ban-client', ['-c', directory, '-d'])
    for (const jail of ['rate-limit', 'auth', 'scan'].map((name) => `reverse-proxy-${name}`)) {
      const ignored =
        commands.split('\n').find((line) => line.startsWith(`['set', '${jail}', 'addignoreip', `)) ?? ''
      for (const network of ['127.0.0.0/8', '::1', '10.0.0.0/8', '192.168.0.0/16', 'fc00::/7'])
        assert.ok(ignored.includes(`'${network}'`), `${jail}: ${network}`)
      assert.ok(commands.includes(`['start', '${jail}']`))
    }
  },
)

test('logrotate: forced again and again under load, and not one line is lost', TEST, async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end())
  const directory = temporaryDirectory(t)
  const logs = join(directory, 'log')
  mkdirSync(logs)
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { logging: { log_file_path: join(logs, 'proxy.log') } },
  })
  const shipped = readFileSync(join(DEPLOY, 'logrotate/reverse-proxy'), 'utf8')
  // The paths and the account of this machine; the proxy is told by its signal.
  const rules = shipped
    .replace('/var/log/reverse-proxy', logs)
    .replace(/^\s*su .*$/mu, '')
    .replace(/^\s*create .*$/mu, '\tcreate 0640')
    .replace(/(?<=postrotate\n).*/u, `\t\tkill -USR2 ${proxy.pid}`)
  const rulesPath = join(directory, 'logrotate.conf')
  writeFileSync(rulesPath, rules, { mode: 0o644 })

  const load = new AbortController()
  let sent = 0
  const clients = Array.from({ length: 4 }, async () => {
    while (!load.signal.aborted) assert.equal((await request({ ...target, path: `/${sent++}` })).status, 200)
  })
  for (let rotation = 1; rotation <= 3; rotation++) {
    const until = sent + 30
    await waitFor('more requests', () => sent >= until)
    await runTool('logrotate', ['--force', '--state', join(directory, 'state'), rulesPath])
  }
  const until = sent + 30
  await waitFor('requests after the last rotation', () => sent >= until)
  load.abort()
  await Promise.all(clients)
  await proxy.stop()

  const files = globSync(join(logs, '*'))
  assert.equal(files.length, 4, files.join(' '))
  const unpacked = await Promise.all(
    files.map(async (file) =>
      file.endsWith('.gz') ? await runTool('gzip', ['-dc', file]) : readFileSync(file, 'utf8'),
    ),
  )
  const paths = [...unpacked.join('').matchAll(/ REQUEST .* path=\/(\d+) /gu)].map(([, number]) =>
    Number(number),
  )
  assert.deepEqual(
    paths.toSorted((a, b) => a - b),
    Array.from({ length: sent }, (_, number) => number),
  )
  t.diagnostic(`${sent} requests, ${files.length} files, no line lost`)
})

/** The addresses that fail2ban would count, one a matching line. */
async function blamedBy(filter: Filter, lines: readonly string[], directory: string): Promise<string[]> {
  const log = join(directory, `${filter}.log`)
  writeFileSync(log, lines.map((line) => `${line}\n`).join(''))
  // Looked for beside the file first, in /etc/fail2ban otherwise.
  const copy = join(directory, `${filter}.conf`)
  copyFileSync(join(FILTERS, `reverse-proxy-${filter}.conf`), copy)
  const printed = await runTool('fail2ban-regex', ['--out', 'ip', log, copy])
  return printed.split('\n').filter((line) => line !== '')
}
