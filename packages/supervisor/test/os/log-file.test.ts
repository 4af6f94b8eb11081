// What a workers' account that has been taken over can make of the log's path, in a directory that it owns: the
// supervisor, as root, neither writes nor gives away anything else. As another account than root it has
// nothing to give; what it refuses to write is the same.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import type { Account } from '../../src/os/account.ts'
import { openLogFile, prepareLogFile } from '../../src/os/log-file.ts'

const isRoot = process.geteuid?.() === 0
const ACCOUNT: Account = isRoot
  ? { uid: 65534, gid: 65534 }
  : { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1 }

interface Place {
  /** Of the supervisor alone. */
  readonly directory: string
  /** Of the workers' account. */
  readonly logs: string
  readonly log: string
  /** A file of the supervisor's alone. */
  readonly secret: string
}

function makePlace(t: TestContext): Place {
  const directory = fs.realpathSync(temporaryDirectory(t))
  const [logs, secret] = [join(directory, 'logs'), join(directory, 'secret')]
  fs.mkdirSync(logs)
  fs.chownSync(logs, ACCOUNT.uid, ACCOUNT.gid)
  fs.writeFileSync(secret, 'secret', { mode: 0o600 })
  return { directory, logs, log: join(logs, 'proxy.log'), secret }
}

function lookAt(path: string): object {
  const { uid, gid, mode, nlink } = fs.statSync(path)
  return { uid, gid, mode, nlink, text: fs.readFileSync(path, 'utf8') }
}

test('log file: a new one is the account’s; an old one becomes it; what is there already stays', async (t) => {
  const { log } = makePlace(t)
  await prepareLogFile(log, ACCOUNT)
  const { uid, gid, mode } = fs.statSync(log)
  assert.deepEqual({ uid, gid, mode: mode & 0o777 }, { ...ACCOUNT, mode: 0o640 })

  fs.writeFileSync(log, 'lines\n')
  fs.chownSync(log, process.geteuid?.() ?? -1, -1)
  await prepareLogFile(log, ACCOUNT)
  assert.equal(fs.statSync(log).uid, ACCOUNT.uid)
  assert.equal(fs.readFileSync(log, 'utf8'), 'lines\n')
})

test('log file: a symbolic link to a secret, or to nothing yet, is refused', async (t) => {
  const { directory, log, secret } = makePlace(t)
  const before = lookAt(secret)
  fs.symlinkSync(secret, log)
  await assert.rejects(prepareLogFile(log, ACCOUNT), { code: 'CONFIG', message: /is a symbolic link$/ })
  await assert.rejects(openLogFile(log), { code: 'ELOOP' })
  assert.deepEqual(lookAt(secret), before)

  fs.rmSync(log)
  fs.symlinkSync(join(directory, 'new'), log)
  await assert.rejects(prepareLogFile(log, ACCOUNT), { code: 'CONFIG' })
  assert.ok(!fs.existsSync(join(directory, 'new')))
})

test('log file: a directory on the way that somebody else made a link of is refused, one of root’s is not', async (t) => {
  const { directory, logs, secret } = makePlace(t)
  const before = lookAt(secret)
  const link = join(logs, 'sub')
  fs.symlinkSync(directory, link)
  await prepareLogFile(join(link, 'proxy.log'), ACCOUNT)
  assert.ok(fs.existsSync(join(directory, 'proxy.log')))

  if (!isRoot) return
  fs.lchownSync(link, ACCOUNT.uid, ACCOUNT.gid)
  for (const name of ['secret', 'new']) {
    await assert.rejects(prepareLogFile(join(link, name), ACCOUNT), {
      code: 'CONFIG',
      message: /belongs to neither root nor us$/,
    })
  }
  assert.deepEqual(lookAt(secret), before)
  assert.ok(!fs.existsSync(join(directory, 'new')))
})

test('log file: a directory that becomes a link while the file is being opened leads nowhere', async (t) => {
  const { directory, logs } = makePlace(t)
  const sub = join(logs, 'sub')
  fs.mkdirSync(sub)
  const open = async (path: string, flags: number, mode: number): Promise<number> => {
    fs.renameSync(sub, `${sub}.away`)
    fs.symlinkSync(directory, sub)
    return await Promise.resolve(fs.openSync(path, flags, mode))
  }
  await assert.rejects(openLogFile(join(sub, 'proxy.log'), open), /while the file was being opened$/)
})

test('log file: a hard link to a secret is not given away', async (t) => {
  const { log, secret } = makePlace(t)
  fs.linkSync(secret, log)
  const before = lookAt(secret)
  if (isRoot) await assert.rejects(prepareLogFile(log, ACCOUNT), { code: 'CONFIG', message: /hard link/ })
  assert.deepEqual(lookAt(secret), before)
})

test('log file: a pipe and a device stay whose they are', async (t) => {
  const { log } = makePlace(t)
  execFileSync('mkfifo', [log])
  const owner = fs.statSync(log).uid
  await prepareLogFile(log, ACCOUNT)
  const reader = fs.openSync(log, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  t.after(() => fs.closeSync(reader))
  await prepareLogFile(log, ACCOUNT)
  assert.equal(fs.statSync(log).uid, owner)

  await prepareLogFile('/dev/null', ACCOUNT)
  assert.equal(fs.statSync('/dev/null').uid, 0)
})
