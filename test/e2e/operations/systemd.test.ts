// What it is told and when, and sockets that it has bound.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort, portOf } from '../../harness/ports.ts'
import { childrenOf } from '../../harness/processes.ts'
import { PROGRAM, writeConfig } from '../../harness/proxy.ts'
import { request } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { activateSockets, openNotifySocket } from '../../harness/system/service-manager.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }

test(
  'notify: READY when traffic is served, WATCHDOG, RELOADING then READY, STOPPING; nothing reaches the workers',
  TEST,
  async (t) => {
    const { path, received } = await openNotifySocket(t)
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end())
    const env = { ...process.env, NOTIFY_SOCKET: path, WATCHDOG_USEC: '400000' }
    const { proxy, target } = await serveSite(t, { upstream: origin.upstream, program: { env } })
    await received.waitForLine(/^READY=1$/)
    assert.equal((await request(target)).status, 200)
    assert.equal(received.lines.includes('STATUS=serving 1 site with 2 workers'), true, received.text)
    await received.waitForLine(/^WATCHDOG=1$/)
    for (const pid of proxy.workerPids())
      assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), /NOTIFY_SOCKET|WATCHDOG_/)

    proxy.signal('SIGHUP')
    const [, usec] = await received.waitForLine(/^MONOTONIC_USEC=(\d+)$/)
    assert.ok(Math.abs(Number(usec) - Number(process.hrtime.bigint() / 1000n)) < 60e6)
    await waitFor(
      'READY to be said again',
      () => received.lines.filter((line) => line === 'READY=1').length === 2,
    )
    assert.deepEqual(
      received.lines.filter((line) => /^(?:READY|RELOADING)=/.test(line)),
      ['READY=1', 'RELOADING=1', 'READY=1'],
    )

    await proxy.stop()
    await received.waitForLine(/^STOPPING=1$/)
    // 5 s of drain, and time to end.
    await received.waitForLine(/^EXTEND_TIMEOUT_USEC=15000000$/)
  },
)

test('notify: a start that fails never says READY', TEST, async (t) => {
  const { path, received } = await openNotifySocket(t)
  const env = { ...process.env, NOTIFY_SOCKET: path }
  await assert.rejects(serveSite(t, { upstream: '127.0.0.1:9', bindAddr: '192.0.2.1', program: { env } }))
  await received.waitForLine(/^STOPPING=1$/)
  assert.equal(received.lines.includes('READY=1'), false)
})

test('notify: a service manager that does not listen is said once and is no obstacle', TEST, async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end())
  const env = { ...process.env, NOTIFY_SOCKET: '/nonexistent/notify', WATCHDOG_USEC: '100000' }
  const { proxy, target } = await serveSite(t, { upstream: origin.upstream, program: { env } })
  await proxy.stdout.waitForLine(/ WARN SYSTEMD /)
  assert.equal((await request(target)).status, 200)
  await proxy.stop()
  assert.equal(proxy.stdout.lines.filter((line) => / SYSTEMD /.test(line)).length, 1)
})

test(
  'socket activation: each socket finds its listener, and a restart refuses no connection, however it comes about',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const ca = await TestCa.create(t)
    const leaf = await ca.issue([HOST])
    const [httpsPort, httpPort, extraPort] = [await freePort(), await freePort(), await freePort()]
    const directory = temporaryDirectory(t)
    const configPath = writeConfig(directory, {
      shutdown_timeout_secs: 2,
      listeners: [
        {
          bind_addr: ['127.0.0.1', '::1'],
          https_port: httpsPort,
          http_port: httpPort,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: [{ host: HOST, upstream: origin.upstream }],
        },
      ],
    })
    const addresses = [
      `127.0.0.1:${httpsPort}`,
      `[::1]:${httpsPort}`,
      `127.0.0.1:${httpPort}`,
      `127.0.0.1:${extraPort}`,
    ]
    const service = activateSockets(t, addresses, [process.execPath, PROGRAM, '--config', configPath])
    const target = { host: HOST, port: httpsPort, ca: ca.certPem }
    await service.stderr.waitForLine(/Listening on .* as 6/)

    const seen = { served: 0, failed: [] as string[] }
    const load = new AbortController()
    const client = async (address: string): Promise<void> => {
      while (!load.signal.aborted) {
        try {
          const { status } = await request({ ...target, address })
          if (status === 200) seen.served++
          else seen.failed.push(String(status))
        } catch (error) {
          seen.failed.push(error instanceof Error && 'code' in error ? String(error.code) : String(error))
        }
      }
    }
    const clients = ['127.0.0.1', '::1', '127.0.0.1', '::1'].map(async (address) => await client(address))
    const supervisorAfter = async (starts: number): Promise<number> => {
      await waitFor(
        'the service to be ready',
        () => readyLines(service.stdout.lines).length === starts,
        20_000,
      )
      const servedBefore = seen.served
      await waitFor('clients to be served', () => seen.served > servedBefore + 20)
      const pid = /pid=(\d+)/.exec(
        service.stdout.lines.findLast((line) => / STARTING /.test(line)) ?? '',
      )?.[1]
      return Number(pid)
    }

    process.kill(await supervisorAfter(1), 'SIGTERM')
    process.kill(await supervisorAfter(2), 'SIGKILL')
    const third = await supervisorAfter(3)
    load.abort()
    await Promise.all(clients)
    assert.deepEqual(seen.failed, [])
    assert.match(service.stdout.text, new RegExp(` WARN SYSTEMD .*port=${extraPort}`))
    t.diagnostic(`${seen.served} requests served over two restarts`)

    // Every worker at once: node:cluster has closed the sockets, so the program ends, and begins anew.
    for (const pid of childrenOf(third)) process.kill(pid, 'SIGSTOP')
    for (const pid of childrenOf(third)) process.kill(pid, 'SIGKILL')
    await service.stdout.waitForLine(/^service ended: 4$/)
    await waitFor('the service to be ready', () => readyLines(service.stdout.lines).length === 4, 20_000)
    assert.equal((await request({ ...target, address: '::1' })).status, 200)
  },
)

test(
  'socket activation: every worker dead while certificates are ordered ends the program as well',
  TEST,
  async (t) => {
    const ca = await TestCa.create(t)
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.after(() => silent.close())
    const directory = temporaryDirectory(t)
    const httpsPort = await freePort()
    const directoryUrl = `https://127.0.0.1:${portOf(silent)}/directory`
    const configPath = writeConfig(directory, {
      workers: 1,
      listeners: [acmeListener({ ca: { directoryUrl, caFile: ca.certPath }, names: [HOST], httpsPort })],
    })
    const service = activateSockets(
      t,
      [`127.0.0.1:${httpsPort}`],
      [process.execPath, PROGRAM, '--config', configPath],
    )
    await service.stderr.waitForLine(/Listening on .* as 3/)
    const client = connect(httpsPort, '127.0.0.1')
    t.after(() => client.destroy())
    const [, pid] = await service.stdout.waitForLine(/ WORKER_READY .* pid=(\d+)/)
    await once(silent, 'connection')
    process.kill(Number(pid), 'SIGKILL')
    await service.stdout.waitForLine(/^service ended: 4$/)
  },
)

function readyLines(lines: readonly string[]): string[] {
  return lines.filter((line) => / INFO READY /.test(line))
}
