// A process that may open few files, and surroundings that nothing can start in.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { Program } from '../../harness/program.ts'
import { PROGRAM, writeConfig } from '../../harness/proxy.ts'
import { request } from '../../harness/clients/request.ts'
import { HOST } from '../../harness/site.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }
const LAUNCH = join(import.meta.dirname, '../../../packages/supervisor/launch.sh')
const FILES = 128
const CLIENTS = 400

test(
  'more clients than files: the cap is lowered aloud, the worker lives, and serves when there is room',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const ca = await TestCa.create(t)
    const leaf = await ca.issue([HOST])
    const directory = temporaryDirectory(t)
    const httpsPort = await freePort()
    const configPath = writeConfig(directory, {
      workers: 1,
      limits: { connections_per_client: 10_000 },
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: httpsPort,
          http_port: 0,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: [{ host: HOST, upstream: origin.upstream }],
        },
      ],
    })
    const start = `ulimit -n ${FILES}; exec sh "$0" "$@"`
    const args = [LAUNCH, process.execPath, PROGRAM, '--config', configPath]
    const proxy = new Program(t, 'sh', ['-c', start, ...args])
    await proxy.stdout.waitForLine(/ INFO READY /)
    const [, lowered] = await proxy.stdout.waitForLine(
      / WARN OPEN_FILES .*open_file_limit=128 connections_per_worker=10000 lowered_to=(\d+)/,
    )
    const cap = Number(lowered)
    assert.ok(cap >= 16 && cap < FILES / 2, `${cap} connections`)

    const clients = Array.from({ length: CLIENTS }, () => net.connect(httpsPort, '127.0.0.1'))
    for (const client of clients) client.on('error', () => {})
    await proxy.stdout.waitForLine(/ CONNECTION_LIMIT /)
    // Said with a heartbeat, which a worker without a descriptor must survive.
    await waitFor(
      'the worker to say how many it holds',
      async () => {
        const { stdout } = await runCommand({ configPath }, 'workers', '--json').catch(() => ({ stdout: '' }))
        return stdout.includes(`"connections":${cap}`) || stdout.includes(`"connections": ${cap}`)
      },
      20_000,
    )
    for (const client of clients) client.destroy()
    await waitFor('room for one more', async () => {
      const outcome = await request({ host: HOST, port: httpsPort, ca: ca.certPem }).catch(() => undefined)
      return outcome?.status === 200
    })
    assert.doesNotMatch(proxy.stdout.text, / WORKER_EXIT /)
  },
)

const HOPELESS = [
  {
    what: 'too few files for the runtime itself',
    script: (_directory: string) => 'ulimit -n 20',
    error: /^error: this process may open only 20 files, and needs 100 at least\n {4}hint: /m,
  },
  {
    what: 'a working directory that has been removed',
    script: (directory: string) =>
      `mkdir '${directory}/gone' && cd '${directory}/gone' && rmdir '${directory}/gone'`,
    error: /^error: the working directory has been removed\n {4}hint: /m,
  },
]

for (const { what, script, error } of HOPELESS) {
  test(`start: ${what} is said in one line, with what to do`, TEST, async (t) => {
    const directory = temporaryDirectory(t)
    mkdirSync(join(directory, 'state'))
    const args = [LAUNCH, process.execPath, PROGRAM, '--help']
    const program = new Program(t, 'sh', ['-c', `${script(directory)}; exec sh "$0" "$@"`, ...args])
    assert.deepEqual(await program.exited, { code: 1, signal: null })
    assert.match(program.stderr.text, error)
    assert.doesNotMatch(program.stderr.text, /^\s+at /mu)
    assert.equal(program.stdout.text, '')
  })
}
