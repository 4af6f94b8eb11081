// First contact: one command, typed on a machine with any Node, and HTTPS answers.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { realpathSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { temporaryDirectory } from '../../harness/directory.ts'
import { childrenOf, executableOf, isAlive } from '../../harness/processes.ts'
import { Program } from '../../harness/program.ts'
import { PROGRAM } from '../../harness/proxy.ts'
import { pnpmLauncher, shellEnvironment } from '../../harness/system/shell.ts'
import { waitFor } from '../../harness/wait.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../../..')

test('first contact: the one command serves HTTPS, and what it prints is true', async (t) => {
  const launcher = pnpmLauncher()
  t.diagnostic(launcher.description)
  const started = new Program(t, launcher.file, [...launcher.args, '-F', 'supervisor', 'start'], {
    cwd: ROOT,
    env: shellEnvironment(),
  })
  const [curl] = await started.stdout.waitForLine(/curl --cacert .*/, 60_000)
  const supervisor = Number((await started.stdout.waitForLine(/supervisor pid (\d+)/))[1])

  // The printed line works as it stands: 200, HTTP/2, a certificate that its CA vouches for.
  const { stdout: seen } = await run('sh', [
    '-c',
    `${curl} -sS -o /dev/null -w '%{http_code} HTTP/%{http_version}'`,
  ])
  assert.equal(seen, '200 HTTP/2')

  // One worker per core, all on the pinned runtime whatever typed the command.
  const workers = childrenOf(supervisor)
  assert.equal(workers.length, availableParallelism())
  for (const pid of [supervisor, ...workers]) assert.equal(executableOf(pid), realpathSync(process.execPath))
  const answering = new Set<number>()
  await waitFor('every worker to answer', async () => {
    const { stdout } = await run('sh', ['-c', `${curl} -sS -H 'X-Forwarded-For: 192.0.2.1'`])
    const view: WelcomeView = JSON.parse(stdout)
    const forwarded = view.headers.filter(({ name }) => name.toLowerCase() === 'x-forwarded-for')
    assert.deepEqual(
      forwarded.map(({ value }) => value),
      ['127.0.0.1'],
    )
    answering.add(view.worker)
    return answering.size === workers.length
  })

  // The redirect, as a browser that was told http:// follows it.
  const redirect = await fetch('http://localhost:8080/a?b', { redirect: 'manual' })
  assert.equal(redirect.status, 301)
  assert.equal(redirect.headers.get('location'), 'https://localhost:8443/a?b')

  // The page for people; its configuration to begin with is one.
  const { stdout: page } = await run('sh', ['-c', `${curl} -sS -H 'Accept: text/html'`])
  const [, config = ''] = /<pre[^>]* id="first-config"[^>]*>([^<]*)<\/pre>/.exec(page) ?? []
  const configPath = join(temporaryDirectory(t), 'first.toml')
  writeFileSync(configPath, config.replaceAll('&quot;', '"'))
  await run(process.execPath, [PROGRAM, 'validate', '--config', configPath])

  // As it says: kill, and it is gone.
  process.kill(supervisor, 'SIGTERM')
  await waitFor('the supervisor to be gone', () => !isAlive(supervisor))
  await started.exited
  await started.assertNoProcessLeft()
})

interface WelcomeView {
  readonly worker: number
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}
