// An account that cannot read the program is refused before a worker dies of it.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { assertProgramReadable } from '../../src/os/account.ts'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'

const STRANGER = { uid: 65_533, gid: 65_533 }

test('the first directory that is closed to the account is named, with what to do', (t) => {
  const home = realpathSync(temporaryDirectory(t))
  const program = join(home, 'checkout', 'packages')
  mkdirSync(program, { recursive: true, mode: 0o755 })
  chmodSync(home, 0o711)
  assertProgramReadable([program], STRANGER)

  chmodSync(join(home, 'checkout'), 0o700)
  assert.throws(() => assertProgramReadable([home, program], STRANGER), {
    code: 'CONFIG',
    message: new RegExp(home),
  })
  assert.throws(() => assertProgramReadable([program], STRANGER), {
    code: 'CONFIG',
    message: new RegExp(`no access to ${join(home, 'checkout')}`),
    hint: /deploy\/install\.sh/,
  })
  assertProgramReadable([program], { uid: 0, gid: 0 })
})

test('the owner and the group have bits of their own', (t) => {
  const folder = realpathSync(temporaryDirectory(t))
  const gid = process.getgid?.() ?? 0
  chmodSync(folder, 0o750)
  assertProgramReadable([folder], { uid: STRANGER.uid, gid })
  assert.throws(() => assertProgramReadable([folder], STRANGER), { code: 'CONFIG' })
  chmodSync(folder, 0o705)
  assert.throws(() => assertProgramReadable([folder], { uid: STRANGER.uid, gid }), { code: 'CONFIG' })
})
