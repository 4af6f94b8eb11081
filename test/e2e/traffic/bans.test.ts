// Bans over the whole proxy: counted over four workers, known to every worker, kept over fresh workers and reloads, listed
// and lifted by command.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import https from 'node:https'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { runCommand } from '../../harness/admin.ts'
import { request } from '../../harness/clients/request.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { PROGRAM, startProxy, writeConfig } from '../../harness/proxy.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const HOST = 'site.test'
const WORKERS = 4
const CLIENT = '127.0.0.5'
/** Some for each worker, however the kernel deals them out. */
const CONNECTIONS = 40

test('who fails ten times over four workers is refused by all of them, until the ban is lifted', async (t) => {
  const origin = await HttpOrigin.start(t, (incoming, response) => {
    response.statusCode = incoming.url === '/secret' ? 401 : 200
    response.end()
  })
  const ca = await TestCa.create(t)
  const leaf = await ca.issue([HOST])
  const port = await freePort()
  const config = (settings: object) => ({
    workers: WORKERS,
    ...settings,
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: port,
        http_port: 0,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: [{ host: HOST, upstream: origin.upstream }],
      },
    ],
  })
  const ban = { within_secs: 1_000_000, for_secs: 1_000_000 }
  const proxy = await startProxy(t, config({ ban }))
  const neighbour = { host: HOST, port, ca: ca.certPem }
  const client = { ...neighbour, agent: new https.Agent({ localAddress: CLIENT }) }
  const reload = async (settings: object): Promise<void> => {
    writeConfig(proxy.directory, config(settings))
    const { code, stderr } = await runCommand(proxy, 'reload')
    assert.equal(code, 0, stderr)
  }
  const fail = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) assert.equal((await request({ ...client, path: '/secret' })).status, 401)
  }
  const isRefused = async (): Promise<boolean> =>
    await request(client).then(
      () => false,
      () => true,
    )
  const refusals = async (): Promise<number> => {
    let count = 0
    for (let i = 0; i < CONNECTIONS; i++) if (await isRefused()) count += 1
    return count
  }

  await fail(9)
  assert.equal((await request(client)).status, 200)
  await fail(1)
  await waitFor('every worker to refuse the client', async () => (await refusals()) === CONNECTIONS, 60_000)
  await proxy.stdout.waitForLine(/ WARN BAN client_ip=127\.0\.0\.5 for_secs=1000000/u)
  assert.equal((await request(neighbour)).status, 200)

  // Fresh workers know it, and a reload changes nothing about it.
  assert.equal((await runCommand(proxy, 'restart')).code, 0)
  assert.equal(await refusals(), CONNECTIONS)
  await reload({ ban: { ...ban, after: 3 } })
  assert.equal(await refusals(), CONNECTIONS)

  const listed = await runCommand(proxy, 'bans')
  assert.match(listed.stdout, /^ADDRESS +LEFT +UNTIL\n127\.0\.0\.5 +11d 13h +\d{4}-\S+Z\n$/u)
  const { status, bans, total } = JSON.parse((await runCommand(proxy, 'bans', '--json')).stdout)
  assert.deepEqual([status, total, bans.length, bans[0].address], ['ok', 1, 1, CLIENT])

  // Without --config, explain asks the running proxy.
  const explain = async (from: string): Promise<string> => {
    const args = [PROGRAM, 'explain', `https://${HOST}:${port}/x`, '--from', from]
    const env = { ...process.env, REVERSE_PROXY_CONFIG: proxy.configPath }
    return (await promisify(execFile)(process.execPath, args, { env })).stdout
  }
  assert.match(await explain(CLIENT), /\nconnection +NO +127\.0\.0\.5, is banned: closed at once\n/u)
  const forwarded = await explain('127.0.0.6')
  assert.match(forwarded, /\ncertificate +yes +serial [0-9A-F]+, valid until \S+, for site\.test\n/u)
  assert.match(
    forwarded,
    new RegExp(`\nTo http://${origin.upstream}:\n  GET /x\n  Host: site\\.test:${port}\n`, 'iu'),
  )
  assert.match((await runCommand(proxy, 'bans', CLIENT)).stdout, /\n127\.0\.0\.5 /u)
  assert.equal((await runCommand(proxy, 'bans', '127.0.0.6')).stdout, 'no bans\n')
  assert.equal(JSON.parse((await runCommand(proxy, 'config')).stdout).ban.after, 3)

  assert.equal((await runCommand(proxy, 'unban', CLIENT)).stdout, 'the ban is lifted\n')
  await waitFor('every worker to serve the client', async () => (await refusals()) === 0, 60_000)
  await proxy.stdout.waitForLine(/ INFO UNBAN client_ip=127\.0\.0\.5/u)
  const twice = await runCommand(proxy, 'unban', CLIENT)
  assert.deepEqual(
    [twice.code, twice.stderr],
    [1, 'error: 127.0.0.5 is not banned; bans lists who is banned\n'],
  )
  assert.equal((await runCommand(proxy, 'bans')).stdout, 'no bans\n')

  // The rule of the reload holds; without a rule there are no bans.
  await fail(3)
  await waitFor(
    'every worker to refuse the client again',
    async () => (await refusals()) === CONNECTIONS,
    60_000,
  )
  await reload({})
  assert.equal(await refusals(), 0)
  await fail(20)
  assert.equal(await refusals(), 0)
})
