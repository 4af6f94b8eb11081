// Bad input never half-starts anything. The program itself over every broken file there is.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { writeCertificates } from '../../../packages/supervisor/test/support/config-directory.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { freePort } from '../../harness/ports.ts'
import { Program } from '../../harness/program.ts'
import { PROGRAM, writeConfig } from '../../harness/proxy.ts'
import type { Refusal } from '../../harness/refusals.ts'

const FIXTURES = join(import.meta.dirname, '../../../packages/supervisor/test/fixtures/config/broken')
const WITNESS = join(import.meta.dirname, '../../harness/system/listen-witness.ts')
const REFUSALS = join(import.meta.dirname, '../../harness/refusals.ts')
/** What harness/system/listen-witness.ts says. */
const LISTENED = /^witness: listened$/m
const EXPECT = '# expect: '

function run(t: TestContext, configPath: string, args: readonly string[] = []): Program {
  return new Program(t, process.execPath, ['--import', WITNESS, PROGRAM, '--config', configPath, ...args])
}

/** Starts the program with one file after the other, in one process. */
async function refusalsOf(t: TestContext, configPaths: readonly string[]): Promise<Refusal[]> {
  const child = fork(REFUSALS, configPaths, { execArgv: ['--import', WITNESS] })
  t.after(() => child.kill('SIGKILL'))
  const refusals: Refusal[] = []
  child.on('message', (refusal: Refusal) => refusals.push(refusal))
  const [code]: unknown[] = await once(child, 'exit')
  assert.equal(code, 0)
  return refusals
}

test('broken configurations: every code at once, exit 1, no port bound', async (suite) => {
  const directory = temporaryDirectory(suite)
  await writeCertificates(directory)
  const names = readdirSync(FIXTURES)
  assert.ok(names.length >= 25)
  for (const name of names) copyFileSync(join(FIXTURES, name), join(directory, name))
  const refusals = await refusalsOf(
    suite,
    names.map((name) => join(directory, name)),
  )
  for (const [index, name] of names.entries()) {
    await suite.test(name, () => {
      const refusal = refusals[index]
      assert.ok(refusal !== undefined)
      const [first = ''] = readFileSync(join(FIXTURES, name), 'utf8').split('\n')
      assert.equal(refusal.code, 1)
      const issues = refusal.stderr.matchAll(/^\S+ (?:error|warning) ([A-Z0-9_]+)/gm)
      const codes = [...issues].map(([, code]) => code)
      assert.deepEqual(codes, first.slice(EXPECT.length).split(' '))
      assert.equal(refusal.stdout, '', 'nothing was started')
      assert.doesNotMatch(refusal.stderr, LISTENED)
    })
  }
})

test('broken configurations: what tells that a port was bound does tell', async (t) => {
  const configPath = writeConfig(temporaryDirectory(t), {
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: await freePort(),
        http_port: 0,
        tls: { mode: 'internal' },
        sites: [{ host: 'site.test', upstream: '127.0.0.1:1' }],
      },
    ],
  })
  const program = run(t, configPath)
  await program.stderr.waitForLine(LISTENED)
  await program.stop('SIGKILL')
})

test('--validate: the same report, and nothing is started when all is well', async (t) => {
  const directory = temporaryDirectory(t)
  const name = readdirSync(FIXTURES)[0] ?? ''
  copyFileSync(join(FIXTURES, name), join(directory, name))
  const asStarted = run(t, join(directory, name))
  const asChecked = run(t, join(directory, name), ['--validate'])
  assert.deepEqual(await asStarted.exited, { code: 1, signal: null })
  assert.equal(asStarted.stdout.text, '')
  assert.doesNotMatch(asStarted.stderr.text, LISTENED)
  assert.deepEqual(await asChecked.exited, { code: 1, signal: null })
  assert.equal(asChecked.stderr.text, asStarted.stderr.text)
})
