// A running proxy is asked over its admin socket, and told to reload, restart, renew.
import assert from 'node:assert/strict'
import { existsSync, lstatSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { askAdmin, runCommand } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { Proxy, startProxy, writeConfig } from '../../harness/proxy.ts'
import { request } from '../../harness/clients/request.ts'
import type { CertificatePair } from '../../harness/tls-material.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }

interface Scene {
  readonly ca: TestCa
  readonly leaf: CertificatePair
  readonly manualPort: number
  readonly internalPort: number
  readonly logFile: string
  /** More sites on the manual listener make another configuration. */
  readonly configWith: (sites: readonly string[], keys?: FileConfig) => FileConfig
}

async function prepare(t: TestContext): Promise<Scene> {
  const ca = await TestCa.create(t)
  const leaf = await ca.issue(['a.test', 'b.test'])
  const origin = await HttpOrigin.start(t, (incoming, response) => response.end(incoming.headers.host))
  const [manualPort, internalPort] = [await freePort(), await freePort()]
  const logFile = join(temporaryDirectory(t), 'proxy.log')
  const configWith = (sites: readonly string[], keys: FileConfig = {}): FileConfig => ({
    logging: { log_file_path: logFile },
    ...keys,
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: manualPort,
        http_port: 0,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: sites.map((host) => ({ host, upstream: origin.upstream })),
      },
      {
        bind_addr: '127.0.0.1',
        https_port: internalPort,
        http_port: 0,
        tls: { mode: 'internal' },
        sites: [{ host: 'internal.test', upstream: origin.upstream }],
      },
    ],
  })
  return { ca, leaf, manualPort, internalPort, logFile, configWith }
}

test('a running proxy says how it is, and does what it is told', TEST, async (t) => {
  const { ca, leaf, manualPort, internalPort, logFile, configWith } = await prepare(t)
  const proxy = await startProxy(t, configWith(['a.test']))
  const socket = join(proxy.directory, 'admin.sock')
  const manual = `127.0.0.1:${manualPort}`
  const internal = `127.0.0.1:${internalPort}`

  await t.test('status', async () => {
    assert.equal(lstatSync(socket).mode & 0o777, 0o600)
    const { version, started_at: startedAt, certificates, ...rest } = await askAdmin(socket, 'status')
    assert.match(version, /^\d+\.\d+\.\d+$/u)
    assert.ok(Math.abs(Date.now() - Date.parse(startedAt)) < 60_000)
    assert.equal(certificates.total, 2)
    assert.deepEqual(rest, {
      status: 'ok',
      pid: proxy.pid,
      phase: 'serving',
      ready: true,
      workers: { wanted: 2, ready: 2, draining: 0 },
      generation: 1,
      roll: null,
      listeners: 2,
      sites: 2,
      last_reload: null,
    })
  })

  await t.test('workers: those that there are, and what they carry', async () => {
    for (let i = 0; i < 3; i++) await request({ host: 'a.test', port: manualPort, ca: ca.certPem })
    const { workers } = await waitFor('every request to be counted', async () => {
      const answer = await askAdmin(socket, 'workers')
      const counts: (number | null)[] = answer.workers.map(({ requests }: { requests: number }) => requests)
      // A worker that has not reported yet has no counts.
      const total = counts.reduce<number>((sum, count) => sum + (count ?? 0), 0)
      return total === 3 && !counts.includes(null) && answer
    })
    const pids = new Set(workers.map(({ pid }: { pid: number }) => pid))
    assert.deepEqual(pids, new Set(proxy.workerPids()))
    for (const worker of workers) assert.ok(worker.rss_bytes > 10_000_000 && worker.stage === 'ready')
  })

  await t.test('certs: each certificate, and the workers that serve it', async () => {
    const { certificates } = await askAdmin(socket, 'certs')
    const [first, second] = certificates
    assert.deepEqual(
      [first.listener, first.mode, first.state, first.issuer, first.names, first.next_attempt_at],
      [manual, 'manual', 'valid', 'Test CA', ['a.test', 'b.test'], null],
    )
    assert.deepEqual([second.listener, second.mode, second.names], [internal, 'internal', ['internal.test']])
    assert.ok(Date.parse(second.next_attempt_at) > Date.now())
    for (const { serial, workers, failure, missing } of certificates) {
      assert.deepEqual([failure, missing], [null, []])
      assert.deepEqual(
        workers.map((worker: { worker: number; serials: string[] }) => [worker.worker, worker.serials]),
        [
          [1, [serial]],
          [2, [serial]],
        ],
      )
    }
  })

  await t.test(
    'reload: a changed file is applied, an invalid one changes nothing and is explained',
    async () => {
      writeConfig(proxy.directory, configWith(['a.test', 'b.test']))
      const applied = { status: 'ok', sites: 3, workers: 'kept', certificates: 'current' }
      const { warnings, ...report } = await askAdmin(socket, 'reload')
      assert.deepEqual(report, applied)
      const expected = process.getuid?.() === 0 ? [/run as root/u] : []
      assert.equal(warnings.length, expected.length)
      for (const [index, pattern] of expected.entries()) assert.match(warnings[index], pattern)
      const answer = await request({ host: 'b.test', port: manualPort, ca: ca.certPem })
      assert.equal(answer.status, 200)

      const path = writeConfig(proxy.directory, configWith(['a.test', 'b.test']))
      writeFileSync(path, `${readFileSync(path, 'utf8')}\nnonsense = 1\n`.replace('"b.test"', '"c.test"'))
      const refused = await askAdmin(socket, 'reload')
      assert.equal(refused.status, 'error')
      assert.match(refused.message, /invalid; nothing has changed/u)
      const validated = await runCommand(proxy, 'validate', '--json')
      assert.deepEqual(refused.errors, JSON.parse(validated.stdout), 'what `validate` says')
      const [{ file, line, column, hint }] = refused.errors
      assert.equal(file, path)
      assert.ok(line > 1 && column > 0 && hint !== '')
      assert.match(JSON.stringify(refused.errors), /nonsense.*c\.test|c\.test.*nonsense/u)
      const [shown, asValidated] = [await runCommand(proxy, 'reload'), await runCommand(proxy, 'validate')]
      assert.equal(shown.code, 1)
      assert.equal(shown.stderr, `error: ${refused.message}\n${asValidated.stderr}`)
      const { last_reload: last } = await askAdmin(socket, 'status')
      assert.deepEqual([last.message, last.errors], [refused.message, refused.errors])
      assert.equal((await request({ host: 'b.test', port: manualPort, ca: ca.certPem })).status, 200)
      assert.equal((await askAdmin(socket, 'status')).last_reload.status, 'error')
      writeConfig(proxy.directory, configWith(['a.test', 'b.test']))
    },
  )

  await t.test('restart: answers when every worker is a new one', async () => {
    const before = proxy.workerPids()
    const answer = await askAdmin(socket, 'restart')
    assert.deepEqual([answer.status, answer.workers, answer.sites], ['ok', 'replaced', 3])
    const { workers } = await askAdmin(socket, 'workers')
    const ready = workers.filter(({ stage }: { stage: string }) => stage === 'ready')
    assert.deepEqual(
      ready.map(({ worker, generation }: { worker: number; generation: number }) => [worker, generation]),
      [
        [1, 2],
        [2, 2],
      ],
    )
    for (const { pid } of ready) assert.ok(!before.includes(pid))
    assert.equal((await askAdmin(socket, 'workers')).unexpected_exits, 0)
  })

  await t.test('renew: an internal certificate is issued anew and every worker serves it', async () => {
    const serialOf = async (): Promise<string> => (await askAdmin(socket, 'certs')).certificates[1].serial
    const before = await serialOf()
    const answer = await askAdmin(socket, 'renew INTERNAL.test')
    assert.equal(answer.status, 'ok')
    const [{ listener, mode, serials }] = answer.renewed
    assert.deepEqual([listener, mode, serials], [internal, 'internal', [await serialOf()]])
    assert.notEqual(serials[0], before)
    const { certificates } = await askAdmin(socket, 'certs')
    for (const worker of certificates[1].workers) assert.deepEqual(worker.serials, serials)
    assert.match(
      (await askAdmin(socket, 'renew other.test')).message,
      /no certificate has the name other\.test/u,
    )
  })

  await t.test(
    'renew: manual files are read again; unusable ones change nothing and are explained',
    async () => {
      const next = await ca.issue(['a.test', 'b.test'])
      renameSync(next.certPath, leaf.certPath)
      const refused = await askAdmin(socket, 'renew a.test')
      assert.match(refused.message, /key does not match/u)
      assert.match(refused.message, /leaf-1\.pem/u)
      assert.equal((await request({ host: 'a.test', port: manualPort, ca: ca.certPem })).status, 200)
      renameSync(next.keyPath, leaf.keyPath)
      const answer = await askAdmin(socket, 'renew a.test')
      const { certificates } = await askAdmin(socket, 'certs')
      assert.deepEqual(answer.renewed[0].serials, [certificates[0].serial])
      for (const worker of certificates[0].workers) assert.deepEqual(worker.serials, [certificates[0].serial])
    },
  )

  await t.test('reopen-logs: after a rotation the file is there again', async () => {
    renameSync(logFile, `${logFile}.1`)
    assert.deepEqual(await askAdmin(socket, 'reopen-logs'), { status: 'ok' })
    await askAdmin(socket, 'reload')
    await waitFor('the new file to have a line', () =>
      readFileSync(logFile, 'utf8').includes('CONFIG_RELOAD'),
    )

    const directory = dirname(logFile)
    renameSync(directory, `${directory}.away`)
    assert.equal((await askAdmin(socket, 'reopen-logs')).status, 'error')
    renameSync(`${directory}.away`, directory)
    await proxy.stdout.waitForLine(/ ERROR LOG_FAILED error=.*cannot be written/)
    assert.doesNotMatch(proxy.stdout.text, / INTERNAL_ERROR /, 'it is no error of ours')
  })

  await t.test('the command line: tables for people, JSON for programs, exit codes', async () => {
    const [status, certs, json, renew, refused] = await Promise.all([
      runCommand(proxy, 'status'),
      runCommand(proxy, 'certs'),
      runCommand(proxy, 'workers', '--json'),
      runCommand(proxy, 'renew', 'internal.test'),
      runCommand(proxy, 'renew', 'other.test'),
    ])
    assert.match(status.stdout, /^state +ready\n(?:.*\n)*workers +2 of 2 ready\b/mu)
    assert.match(certs.stdout, /^LISTENER .*\n.* manual .* a\.test b\.test\n.* internal .*/u)
    assert.ok(JSON.parse(json.stdout).workers.length >= 2)
    assert.match(renew.stdout, /^127\.0\.0\.1:\d+: renewed: serial [0-9A-F]+, expires in 6d 23h\n$/u)
    assert.deepEqual([refused.code, refused.stdout], [1, ''])
    assert.match(refused.stderr, /^error: no certificate has the name other\.test/u)
    for (const { code } of [status, certs, json, renew]) assert.equal(code, 0)
  })

  await t.test('when it has stopped, the socket is gone and the command line says what to do', async () => {
    await proxy.stop()
    assert.equal(existsSync(socket), false)
    const [outcome, json] = await Promise.all([
      runCommand(proxy, 'status'),
      runCommand(proxy, 'status', '--json'),
    ])
    assert.deepEqual([outcome.code, json.code], [1, 1])
    assert.match(outcome.stderr, /^error: no proxy is running here.*\n {4}hint: /u)
    assert.equal(JSON.parse(json.stdout).status, 'error')
  })
})

test('a failed start leaves no socket, and another start is not kept from its own', TEST, async (t) => {
  const { manualPort, configWith } = await prepare(t)
  const holder = net.createServer().listen(manualPort, '127.0.0.1')
  t.after(() => holder.close())
  const config = configWith(['a.test'], { workers: 1 })
  const failed = new Proxy(t, config)
  assert.equal((await failed.exited).code, 1)
  assert.equal(existsSync(join(failed.directory, 'admin.sock')), false)
  holder.close()

  const killed = await startProxy(t, config, { directory: failed.directory })
  killed.signal('SIGKILL')
  await killed.exited
  await killed.assertNoProcessLeft()
  assert.equal(existsSync(join(failed.directory, 'admin.sock')), true)
  const next = await startProxy(t, config, { directory: failed.directory })
  assert.equal((await askAdmin(join(next.directory, 'admin.sock'), 'status')).pid, next.pid)
})
