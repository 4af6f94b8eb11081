// A start that fails says why in one clear error, exits 1 and leaves nothing behind.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import net from 'node:net'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { PROGRAM, Proxy, writeConfig } from '../../harness/proxy.ts'
import { Program } from '../../harness/program.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { handshake } from '../../harness/clients/handshake.ts'

interface Ports {
  readonly httpsPort: number
  readonly httpPort: number
}

function configFor({ httpsPort, httpPort }: Ports, listener: FileConfig = {}): FileConfig {
  return {
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: httpsPort,
        http_port: httpPort,
        tls: { mode: 'internal' },
        sites: [{ host: 'site.test', upstream: '127.0.0.1:1' }],
        ...listener,
      },
    ],
  }
}

async function assertFails(t: TestContext, config: FileConfig, expected: RegExp): Promise<void> {
  const proxy = new Proxy(t, { ...config, logging: { level: 'debug' } })
  assert.deepEqual(await proxy.exited, { code: 1, signal: null })
  await proxy.assertNoProcessLeft()
  assert.match(proxy.stderr.text, expected)
  assert.equal(proxy.stderr.text.match(/^error:/gm)?.length, 1, 'one clear error')
  assert.doesNotMatch(proxy.stderr.text, /^\s+at /m)
  assert.doesNotMatch(proxy.stdout.text, / (?:WARN|ERROR) /, 'and nothing beside it')
  const exits = proxy.stdout.lines.filter((line) => line.includes(' WORKER_EXIT '))
  assert.ok(exits.length <= 2, 'no worker is forked in vain')
  const left = readdirSync(proxy.directory, { recursive: true, encoding: 'utf8' })
  assert.deepEqual(
    left.filter((name) => /\.(sock|lock)$/.test(name)),
    [],
  )
}

test('start: a taken port is named with its holder, and the other port is free again', async (t) => {
  const ports = { httpsPort: await freePort(), httpPort: await freePort() }
  const holder = net.createServer().listen(ports.httpsPort, '127.0.0.1')
  await once(holder, 'listening')
  t.after(() => holder.close())
  const named = new RegExp(`^error: .*\\b${ports.httpsPort}\\b.*\\b127\\.0\\.0\\.1\\b.*${process.pid}`, 'm')
  await assertFails(t, configFor(ports), named)
  assert.deepEqual(await handshake({ port: ports.httpPort }), { result: 'failed', code: 'ECONNREFUSED' })
})

test('start: a taken redirect port is named too', async (t) => {
  const ports = { httpsPort: await freePort(), httpPort: await freePort() }
  const holder = net.createServer().listen(ports.httpPort, '127.0.0.1')
  await once(holder, 'listening')
  t.after(() => holder.close())
  await assertFails(t, configFor(ports), new RegExp(`^error: .*\\b${ports.httpPort}\\b`, 'm'))
})

test('start: an address that this machine does not have is named', async (t) => {
  const ports = { httpsPort: await freePort(), httpPort: await freePort() }
  await assertFails(t, configFor(ports, { bind_addr: '203.0.113.9' }), /^error: .*203\.0\.113\.9/m)
})

test('start: a reload that comes too early is refused aloud; who is blamed for a taken port holds it at this address, and is named by what it runs', async (t) => {
  const ports = { httpsPort: await freePort(), httpPort: await freePort() }
  const bystander = net.createServer().listen(ports.httpsPort, '127.0.0.3')
  await once(bystander, 'listening')
  t.after(() => bystander.close())
  const other = new Proxy(t, configFor(ports))
  await other.stdout.waitForLine(/ STARTING /)
  other.signal('SIGHUP')
  await other.stdout.waitForLine(
    / WARN CONFIG_RELOAD status=failed kind=reload-and-restart error="the proxy is booting; try again/,
  )
  await other.ready()
  const named = new RegExp(
    `^error: .*\\btaken by node \\S*main\\.js \\(pid (?:${other.processes().join('|')})\\)$`,
    'm',
  )
  await assertFails(t, configFor(ports), named)
})

test('command line: run --validate checks and starts nothing; an empty --config is an error, not the local profile', async (t) => {
  const directory = temporaryDirectory(t)
  const path = writeConfig(directory, configFor({ httpsPort: await freePort(), httpPort: await freePort() }))
  const checked = new Program(t, process.execPath, [PROGRAM, 'run', '--validate', '--config', path])
  const refused = new Program(t, process.execPath, [PROGRAM, '--config', ''])
  assert.deepEqual(await checked.exited, { code: 0, signal: null })
  assert.match(checked.stdout.text, /^configuration ok: /)
  assert.deepEqual(await refused.exited, { code: 1, signal: null })
  assert.match(refused.stderr.text, /^reverse-proxy: --config is empty\n/)
})
