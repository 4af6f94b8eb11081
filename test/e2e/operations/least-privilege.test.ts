// What somebody who has taken over a worker can do with it.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { request } from '../../harness/clients/request.ts'
import { serveSite } from '../../harness/site.ts'
import { temporaryDirectory } from '../../harness/directory.ts'

const PROBE = join(import.meta.dirname, '../../../packages/worker/test/support/process/privilege-probe.ts')
const TEST = { timeout: 120_000 }
const isRoot = process.getuid?.() === 0

test(
  'a worker reads no key, opens no file, spawns nothing, evals nothing, and is nobody',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const directory = temporaryDirectory(t)
    const env = {
      ...process.env,
      PROBE_FILES: [join(directory, 'config.toml'), '/etc/shadow'].join(':'),
    }
    const account = isRoot && isOpenToAll(PROBE) ? { user: 'nobody' } : {}
    const { proxy, target } = await serveSite(t, {
      upstream: origin.upstream,
      config: { workers: 1, ...account },
      program: { env, directory, execArgv: [`--import=${PROBE}`] },
    })
    assert.equal((await request(target)).status, 200)
    await proxy.stderr.waitForLine(/^probe: uid /)
    const outcomes = proxy.stderr.lines.filter((line) => line.startsWith('probe: '))
    const [identity = ''] = outcomes.splice(-1)
    assert.ok(outcomes.length >= 11, proxy.stderr.text)
    for (const line of outcomes) {
      if (line.startsWith('probe: become root')) continue
      assert.match(line, /: (?:ERR_ACCESS_DENIED|ERR_DLOPEN_DISABLED|EvalError.*)$/)
    }
    if ('user' in account) {
      assert.match(identity, /^probe: uid 65534 gid 65534 groups (?:65534)?$/)
      assert.match(proxy.stderr.text, /^probe: become root: EPERM$/mu)
    } else {
      t.diagnostic('the account is not dropped here: not root, or the program lies where only root may read')
    }
  },
)

test('the log file is the one thing a worker may write, and it is not for everybody', TEST, async (t) => {
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const directory = temporaryDirectory(t)
  const logFile = join(directory, 'proxy.log')
  const { proxy, target } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 1, logging: { log_file_path: logFile } },
    program: { directory },
  })
  assert.equal((await request(target)).status, 200)
  assert.equal(statSync(logFile).mode & 0o777, 0o640)

  const secret = join(directory, 'secret')
  writeFileSync(secret, 'secret')
  rmSync(logFile)
  symlinkSync(secret, logFile)
  proxy.signal('SIGUSR2')
  await proxy.stdout.waitForLine(/ ERROR LOG_FAILED .*is a symbolic link/u)
  assert.equal((await request(target)).status, 200)
  await proxy.stop()
  assert.equal(readFileSync(secret, 'utf8'), 'secret')
})

/** Everybody may read the file and enter every directory above it. */
function isOpenToAll(path: string): boolean {
  for (let at = path; at !== '/'; at = join(at, '..'))
    if ((statSync(at).mode & 0o5) !== 0o5 && at !== path) return false
  return true
}
