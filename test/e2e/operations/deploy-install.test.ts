// What deploy/install.sh puts on a machine, in a scratch root, and the program it installed.
import assert from 'node:assert/strict'
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { childrenOf } from '../../harness/processes.ts'
import { Program } from '../../harness/program.ts'
import { writeConfig } from '../../harness/proxy.ts'
import { request } from '../../harness/clients/request.ts'
import { HOST } from '../../harness/site.ts'
import { IS_FULL } from '../../harness/size.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { runTool } from '../../harness/system/tool.ts'

const DEPLOY = join(import.meta.dirname, '../../../deploy')
const INSTALL = join(DEPLOY, 'install.sh')
const TWO_LISTENERS = `rate_limit = { requests_per_second = 100, burst = 200 }
body = { limit_bytes = 10485760 }
[[listeners]]
bind_addr = "127.0.0.1"
https_port = 8443
http_port = 8080
tls.mode = "internal"
sites = [{ host = "a.test", upstream = "127.0.0.1:3000" }]
[[listeners]]
bind_addr = "::1"
https_port = 9443
http_port = 0
tls.mode = "internal"
sites = [{ host = "b.test", upstream = "127.0.0.1:3000" }]
`
/** What the unit leaves to the supervisor. */
const BOUNDING_SET = '-all,+net_bind_service,+setuid,+setgid,+kill'
const TEST = { timeout: 300_000 }
const isRoot = process.getuid?.() === 0

test(
  'install.sh: installs, upgrades, serves with the capabilities of its unit, and goes without a trace',
  TEST,
  async (t) => {
    const root = temporaryDirectory(t)
    chmodSync(root, 0o755)
    const program = join(root, 'opt/reverse-proxy/bin/reverse-proxy')
    const releases = join(root, 'opt/reverse-proxy/releases')

    // Of an upgrade before this one, not restarted since; and one that nobody runs.
    mkdirSync(join(releases, 'running'), { recursive: true })
    mkdirSync(join(releases, 'unused'))
    const running = join(releases, 'running/node')
    copyFileSync(realpathSync('/bin/sleep'), running)
    const old = new Program(t, running, ['170'])

    // Installed before there was a written socket unit: the example of then, with nobody's addresses.
    mkdirSync(join(root, 'etc/reverse-proxy'), { recursive: true })
    mkdirSync(join(root, 'etc/systemd/system'), { recursive: true })
    const socketUnit = join(root, 'etc/systemd/system/reverse-proxy.socket')
    copyFileSync(join(DEPLOY, 'systemd/reverse-proxy.socket'), socketUnit)
    writeFileSync(join(root, 'etc/reverse-proxy/config.toml'), TWO_LISTENERS)

    const printed = await runTool('bash', [INSTALL, '--root', root])
    assert.match(printed, /^ {2}Installing packages.*\n {2}Building\n {2}Copying/m)
    assert.match(printed, /^Installed reverse-proxy \d/m)
    assert.deepEqual(readFileSync(socketUnit, 'utf8').match(/^ListenStream=.*$/gm), [
      'ListenStream=127.0.0.1:8443',
      'ListenStream=127.0.0.1:8080',
      'ListenStream=[::1]:9443',
    ])
    assert.ok(
      existsSync(join(root, 'etc/systemd/system/sockets.target.wants/reverse-proxy.socket')),
      'enabled',
    )
    assertSlim(join(root, 'opt/reverse-proxy/current'))
    rmSync(join(root, 'etc/reverse-proxy/config.toml'))
    const left = readdirSync(releases)
    assert.ok(left.includes('running') && !left.includes('unused'), left.join())
    process.kill(old.pid, 'SIGKILL')
    await old.exited
    rmSync(join(releases, 'running'), { recursive: true })
    if (IS_FULL) {
      const [first = ''] = readdirSync(releases)
      await runTool('bash', [INSTALL, '--root', root])
      assert.equal(readdirSync(releases).length, 2, 'the release that may be running stays')
      assert.ok(readdirSync(releases).includes(first))
    }
    await verifyUnits(t, root)
    const completions = [
      'bash-completion/completions/reverse-proxy',
      'zsh/site-functions/_reverse-proxy',
      'fish/vendor_completions.d/reverse-proxy.fish',
    ]
    for (const file of completions)
      assert.match(readFileSync(join(root, 'usr/share', file), 'utf8'), /reopen-logs/, file)
    const example = readFileSync(join(root, 'etc/reverse-proxy/examples/shared-ip.toml'), 'utf8')
    const [, schema = ''] = /^#:schema (\S+)$/m.exec(example) ?? []
    assert.ok(existsSync(join(root, schema)), schema)

    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('installed'))
    const ca = await TestCa.create(t)
    const leaf = await ca.issue([HOST])
    const [httpsPort, httpPort] = [await freePort(), await freePort()]
    const configPath = writeConfig(temporaryDirectory(t), {
      ...(isRoot && { user: 'nobody' }),
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: httpsPort,
          http_port: httpPort,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: [{ host: HOST, upstream: origin.upstream }],
        },
      ],
    })
    const command = [program, 'run', '--config', configPath]
    const limited = [
      'setpriv',
      `--bounding-set=${BOUNDING_SET}`,
      '--inh-caps=-all',
      '--no-new-privs',
      ...command,
    ]
    const [file = '', ...args] = isRoot ? limited : command
    const installed = new Program(t, file, args)
    await installed.stdout.waitForLine(/ INFO READY /)
    assert.equal((await request({ host: HOST, port: httpsPort, ca: ca.certPem })).body, 'installed')
    if (isRoot) {
      for (const pid of childrenOf(installed.pid)) {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8')
        assert.match(status, /^Uid:\s+65534\s+65534\s+65534\s+65534$/m)
        assert.match(status, /^CapEff:\s+0+$/m)
      }
    }
    await installed.stop()

    const rotation = 'etc/logrotate.d/reverse-proxy'
    appendFileSync(join(root, rotation), '# as we like it\n')
    const removed = await runTool('bash', [INSTALL, '--uninstall', '--root', root])
    assert.ok(removed.includes(`Left: /${rotation}, which is not as it was installed.`), removed)
    assert.deepEqual(globSync('**/*reverse-proxy*', { cwd: root }).toSorted(), [
      rotation,
      'etc/reverse-proxy',
    ])
  },
)

test('units: how exposed the service is, as systemd reckons it', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const unit = join(directory, 'reverse-proxy.service')
  await runTool('cp', [join(DEPLOY, 'systemd/reverse-proxy.service'), unit])
  // The drop-in of a unit given by its path is found only where units are looked for.
  const env = { SYSTEMD_UNIT_PATH: `${directory}:` }
  const exposure = async (): Promise<number> => {
    const table = await runTool('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], env)
    return Number(/exposure level for \S+: ([\d.]+)/.exec(table)?.[1])
  }
  const asRoot = await exposure()
  assert.ok(asRoot <= 2.5, String(asRoot))
  await runTool('install', ['-D', '-t', `${unit}.d`, join(DEPLOY, 'systemd/unprivileged.conf')])
  const unprivileged = await exposure()
  assert.ok(unprivileged <= 1.8, String(unprivileged))
  t.diagnostic(`root with four capabilities: ${asRoot}; under an account: ${unprivileged}`)
})

test(
  'units: a start that fails waits ever longer for the next, up to half a minute; a crash waits for nothing',
  TEST,
  async (t) => {
    const unit = readFileSync(join(DEPLOY, 'systemd/reverse-proxy.service'), 'utf8')
    const [, quoted = ''] = /^ExecStopPost=\/bin\/sh -c '(.*)'$/m.exec(unit) ?? []
    // As systemd reads it: systemd.service(5), "Command lines".
    const script = quoted.replaceAll('%n', 'reverse-proxy.service').replaceAll('$$', '$')
    const directory = temporaryDirectory(t)
    const stub = (name: string, text: string): void =>
      writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    stub('sleep', 'echo "waits $1"')
    stub(
      'systemctl',
      '[ "$*" = "show -P NRestarts reverse-proxy.service" ] && [ -n "$RESTARTS" ] && echo "$RESTARTS"',
    )
    const after = async (status: string, restarts: string): Promise<string> => {
      const env = { PATH: `${directory}:/usr/bin:/bin`, EXIT_STATUS: status, RESTARTS: restarts }
      return (await runTool('/bin/sh', ['-c', script], env)).trim()
    }
    assert.equal(await after('1', '0'), 'waits 0')
    assert.equal(await after('1', '7'), 'waits 7')
    assert.equal(await after('1', '5000'), 'waits 30')
    assert.equal(await after('1', ''), 'waits 5', 'systemd cannot be asked')
    for (const status of ['0', '4', 'KILL']) assert.equal(await after(status, '7'), '')
  },
)

test('compose.yaml: process 1 of the container is an init that reaps orphans', () => {
  const compose = readFileSync(join(DEPLOY, 'docker/compose.yaml'), 'utf8')
  const [, service = ''] = /^services:\n {2}reverse-proxy:\n((?: {4}.*\n|\n)+)/m.exec(compose) ?? []
  assert.match(service, /^ {4}init: true$/m)
})

/** Only what the program runs on, and no trace of the checkout that it was built in. */
function assertSlim(release: string): void {
  assert.deepEqual(globSync('node_modules/node*-linux-*/{include,share,README.md}', { cwd: release }), [])
  assert.deepEqual(globSync('node_modules/{.pnpm,.modules.yaml}', { cwd: release }), [])
  const checkout = join(DEPLOY, '..')
  const files = globSync('**/*', { cwd: release })
  const trace = checkout.replaceAll('/', '+')
  assert.deepEqual(
    files.filter((path) => path.includes(trace)),
    [],
  )
  assert.ok(!readFileSync(join(release, 'package.json'), 'utf8').includes(checkout))
}

/** As installed, but for where the program is: the units name it where this machine does not have it. */
async function verifyUnits(t: TestContext, root: string): Promise<void> {
  const directory = temporaryDirectory(t)
  const units = ['reverse-proxy.service', 'reverse-proxy.socket'].map((name) => {
    const text = readFileSync(join(root, 'etc/systemd/system', name), 'utf8')
    const unit = join(directory, name)
    writeFileSync(unit, text.replaceAll('/opt/reverse-proxy', `${root}/opt/reverse-proxy`))
    return unit
  })
  const env = { MANPATH: join(root, 'usr/local/share/man') }
  assert.equal((await runTool('systemd-analyze', ['verify', ...units], env)).trim(), '')
}
