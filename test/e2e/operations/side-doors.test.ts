// What the runtime offers to whoever can set a variable or send a signal: not with this program.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { freePort } from '../../harness/ports.ts'
import { commandLineOf, executableOf, isAlive } from '../../harness/processes.ts'
import { PROGRAM, startProxy, writeConfig } from '../../harness/proxy.ts'
import { Program } from '../../harness/program.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }
/** As `pnpm start`, the installed program and the image do. */
const LAUNCH = join(import.meta.dirname, '../../../packages/supervisor/launch.sh')
const SITES = [{ host: 'site.test', upstream: '127.0.0.1:1' }]
const READY = / INFO READY /
const INSPECTOR = /debugger|inspector/iu

/** The inspector that cannot begin, and the advice that the configuration of a test gives root. */
const EXPECTED_REMARK = /^Starting inspector on .* failed|WORKERS_AS_ROOT|^ {4}hint: set user|^1 warning$/u

test(
  'variables for the runtime reach neither the supervisor nor a worker; a signal opens no inspector, from the first moment on',
  TEST,
  async (t) => {
    const directory = temporaryDirectory(t)
    const logFile = join(directory, 'proxy.log')
    const listeners = [{ bind_addr: '127.0.0.1', https_port: await freePort(), http_port: 0, sites: SITES }]
    const config = { listeners, logging: { log_file_path: logFile }, workers: 1 }
    const configPath = writeConfig(directory, { ...config, listeners: listeners.map(withInternalTls) })
    const marker = join(directory, 'loaded-by-stranger')
    const stranger = join(directory, 'stranger.cjs')
    writeFileSync(stranger, `require('node:fs').writeFileSync(${JSON.stringify(marker)}, '')`)
    const env = {
      ...process.env,
      NODE_OPTIONS: `--require=${stranger} --inspect=127.0.0.1:${await freePort()} --report-on-signal`,
      NODE_V8_COVERAGE: join(directory, 'coverage'),
      NODE_REDIRECT_WARNINGS: join(directory, 'warnings'),
      NODE_COMPILE_CACHE: join(directory, 'code'),
      NODE_DEBUG: 'net,tls,http,cluster',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_UNIQUE_ID: '7',
      OPENSSL_CONF: stranger,
    }
    const proxy = new Program(t, 'sh', [LAUNCH, process.execPath, PROGRAM, '--config', configPath], {
      env,
      cwd: directory,
    })
    await waitFor('the runtime to begin', () => executableOf(proxy.pid) === process.execPath)
    await waitFor('traffic to be served', () => {
      // Sooner than any line of ours runs, and all the time after that. What has ended is not to be hidden.
      if (!proxy.hasExited) proxy.signal('SIGUSR1')
      return proxy.hasExited || READY.test(proxy.stdout.text)
    })
    assert.match(proxy.stdout.text, READY)

    const present = readdirSync(directory).toSorted()
    assert.deepEqual(present, ['admin.sock', 'config.toml', 'proxy.log', 'state', 'stranger.cjs'])
    assert.equal(existsSync(marker), false)
    const remarks = proxy.stderr.lines.filter((line) => !EXPECTED_REMARK.test(line))
    assert.deepEqual(remarks, [], 'no debugger, no debug output, no warning')

    assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  },
)

test('no variable for the runtime or its TLS library passes the launcher, but the two for authorities', (t) => {
  const runtime = join(temporaryDirectory(t), 'runtime')
  writeFileSync(runtime, '#!/bin/sh\nenv\n', { mode: 0o755 })
  const names = [
    'NODE_OPTIONS',
    'NODE_V8_COVERAGE',
    'OPENSSL_CONF',
    'OPENSSL_CONF_INCLUDE',
    'OPENSSL_ia32cap',
    'NODE_EXTRA_CA_CERTS',
  ]
  const env = Object.fromEntries(names.map((name) => [name, '/x']))
  const seen = execFileSync('sh', [LAUNCH, runtime, 'main.js'], {
    env: { PATH: process.env['PATH'], ...env },
  })
  assert.deepEqual(seen.toString().match(/^(?:NODE|OPENSSL)_\w+/gmu), ['NODE_EXTRA_CA_CERTS'])
})

test('SIGUSR1 and SIGUSR2 reopen the log file; to a worker they mean nothing', TEST, async (t) => {
  const directory = temporaryDirectory(t)
  const logFile = join(directory, 'proxy.log')
  const listener = { bind_addr: '127.0.0.1', https_port: await freePort(), http_port: 0, sites: SITES }
  const proxy = await startProxy(
    t,
    { listeners: [withInternalTls(listener)], logging: { log_file_path: logFile } },
    { directory },
  )
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) {
    renameSync(logFile, `${logFile}.${signal}`)
    proxy.signal(signal)
    await waitFor('the log file to be there again', () => existsSync(logFile))
    for (const pid of proxy.workerPids()) process.kill(pid, signal)
  }
  const workers = proxy.workerPids()
  assert.equal(workers.length, 2)
  for (const pid of workers) assert.match(commandLineOf(pid), / --disable-sigusr1 /u)
  assert.deepEqual(await proxy.stop(), { code: 0, signal: null })
  assert.deepEqual(workers.filter(isAlive), [])
  assert.doesNotMatch(proxy.stderr.text, INSPECTOR)
  assert.doesNotMatch(proxy.stdout.text, / ERROR /u)
})

function withInternalTls(listener: object): object {
  return { ...listener, tls: { mode: 'internal' } }
}
