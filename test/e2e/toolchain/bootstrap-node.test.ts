// Any Node that can run npx is enough to type the two commands; what they run is the pinned one.
import assert from 'node:assert/strict'
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { freePort } from '../../harness/ports.ts'
import { executableOf, groupMembers } from '../../harness/processes.ts'
import { Program } from '../../harness/program.ts'
import { writeConfig } from '../../harness/proxy.ts'
import { pnpmLauncher, shellEnvironment } from '../../harness/system/shell.ts'

const ROOT = join(import.meta.dirname, '../../..')

test('start: typed under another Node, supervisor and workers run on the pinned one', async (t) => {
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
  const launcher = pnpmLauncher()
  t.diagnostic(launcher.description)
  const args = [...launcher.args, '-F', 'supervisor', 'start', '--config', configPath]
  const started = new Program(t, launcher.file, args, { cwd: ROOT, env: shellEnvironment() })
  const pidOf = async (line: RegExp) => Number((await started.stdout.waitForLine(line, 60_000))[1])
  const pids = [
    await pidOf(/ STARTING .*\bpid=(\d+)/),
    await pidOf(/ WORKER_READY worker=1 pid=(\d+)/),
    await pidOf(/ WORKER_READY worker=2 pid=(\d+)/),
  ]
  for (const pid of pids) assert.equal(executableOf(pid), realpathSync(process.execPath))
  await started.stdout.waitForLine(/ INFO READY /)
  const [supervisor = 0] = pids
  process.kill(supervisor, 'SIGTERM')
  await started.exited
  assert.deepEqual(groupMembers(started.pid), [])
})

test('test: typed under another Node, the tests run on the pinned one', async (t) => {
  const launcher = pnpmLauncher()
  t.diagnostic(launcher.description)
  const started = new Program(t, launcher.file, [...launcher.args, 'test', 'pinned-node'], {
    cwd: ROOT,
    env: shellEnvironment(),
  })
  assert.deepEqual(await started.exited, { code: 0, signal: null })
  assert.match(started.stdout.text, /^1 passed, 0 failed$/m)
})
