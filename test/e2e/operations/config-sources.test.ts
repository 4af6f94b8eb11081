// Where a configuration comes from: files that the main file includes, which a reload reads again, and standard input,
// which can be read once.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { askAdmin } from '../../harness/admin.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { Program } from '../../harness/program.ts'
import { PROGRAM, startProxy, writeConfig } from '../../harness/proxy.ts'
import { TestCa } from '../../harness/tls-material.ts'

const HOSTS = ['main.test', 'one.test', 'two.test'] as const

function sitesOf(host: string, port: number): string {
  return `[[sites]]\nhost = "${host}"\nupstream = "127.0.0.1:${port}"\n`
}

test('include: a reload adds and removes the sites of a file in place', { timeout: 120_000 }, async (t) => {
  const origin = await HttpOrigin.start(t, (_, response) => response.end('included'))
  const ca = await TestCa.create(t)
  const leaf = await ca.issue([...HOSTS])
  const [httpsPort, httpPort] = [await freePort(), await freePort()]
  const directory = temporaryDirectory(t)
  const fileOf = (name: string) => join(directory, 'sites', name)
  mkdirSync(join(directory, 'sites'))
  writeFileSync(fileOf('one.toml'), sitesOf('one.test', origin.port))
  const config = {
    include: ['sites/*.toml'],
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: httpsPort,
        http_port: httpPort,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: [{ host: 'main.test', respond: { body: 'main' } }],
      },
    ],
  }
  const proxy = await startProxy(t, config, { directory })
  const pids = proxy.workerPids()
  const reload = async () => await askAdmin(join(directory, 'admin.sock'), 'reload')
  for (const ask of [request, request2]) {
    const bodyOf = async (host: string) =>
      (await ask({ host, port: httpsPort, ca: ca.certPem, path: '/' })).body
    assert.deepEqual([await bodyOf('main.test'), await bodyOf('one.test')], ['main', 'included'])
    writeFileSync(fileOf('two.toml'), sitesOf('two.test', origin.port))
    const added = await reload()
    assert.deepEqual([added.status, added.workers, added.sites], ['ok', 'kept', 3])
    assert.equal(await bodyOf('two.test'), 'included')

    writeFileSync(fileOf('three.toml'), `${sitesOf('main.test', origin.port)}\n[[sites]]\n`)
    const refused = await reload()
    assert.equal(refused.status, 'error')
    assert.match(JSON.stringify(refused), /sites\/three\.toml/u)
    assert.equal(await bodyOf('two.test'), 'included', 'nothing has changed')

    rmSync(fileOf('two.toml'))
    rmSync(fileOf('three.toml'))
    const removed = await reload()
    assert.deepEqual([removed.status, removed.workers, removed.sites], ['ok', 'kept', 2])
    const gone = await ask({ host: 'two.test', port: httpsPort, ca: ca.certPem, path: '/' })
    assert.equal(gone.status, 404)
    assert.equal(await bodyOf('one.test'), 'included')
  }
  assert.deepEqual(proxy.workerPids(), pids, 'in place')
})

/** Runs the program with the file as its standard input. */
function runFrom(t: TestContext, configPath: string, args: readonly string[]): Program {
  const script = 'input=$1; shift; exec "$0" "$@" <"$input"'
  return new Program(t, '/bin/sh', ['-c', script, process.execPath, configPath, PROGRAM, ...args])
}

test(
  '--config -: checks and serves standard input, and a reload says that it cannot',
  { timeout: 120_000 },
  async (t) => {
    const directory = temporaryDirectory(t)
    const port = await freePort()
    const configPath = writeConfig(directory, {
      listeners: [
        {
          bind_addr: '127.0.0.1',
          http_port: port,
          tls: { mode: 'off' },
          sites: [{ host: 'site.test', respond: { body: 'from standard input' } }],
        },
      ],
    })
    const broken = join(directory, 'broken.toml')
    writeFileSync(broken, '\nworkers = many\n')
    const invalid = runFrom(t, broken, ['validate', '--config', '-'])
    const valid = runFrom(t, configPath, ['validate', '--config', '-'])
    const useless = runFrom(t, configPath, ['reload', '--config', '-'])
    assert.deepEqual(await invalid.exited, { code: 1, signal: null })
    assert.match(invalid.stderr.text, /^standard input:2:\d+ error TOML_SYNTAX/u)
    assert.deepEqual(await valid.exited, { code: 0, signal: null })
    assert.match(valid.stdout.text, /1 site \(standard input\)/u)
    assert.deepEqual(await useless.exited, { code: 1, signal: null })
    assert.match(useless.stderr.text, /--config - is not valid for 'reload'\n +hint: /u)

    const proxy = runFrom(t, configPath, ['--config', '-'])
    await proxy.stdout.waitForLine(/ INFO READY /u)
    const get = async () => {
      const headers = { Host: `site.test:${port}` }
      const [response] = await once(http.get({ host: '127.0.0.1', port, headers, agent: false }), 'response')
      return await text(response)
    }
    assert.equal(await get(), 'from standard input')
    const reply = await askAdmin(join(directory, 'admin.sock'), 'reload')
    assert.equal(reply.status, 'error')
    assert.match(JSON.stringify(reply), /standard input can be read only once.*--config FILE/u)
    assert.equal(await get(), 'from standard input')
  },
)
