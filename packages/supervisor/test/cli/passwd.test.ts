// `passwd USER` prints a line that a basic_auth_file accepts, and never shows the password.
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { parsePasswordFile } from '../../src/authentication/password-file.ts'
import { isPassword } from '../../src/authentication/password-hash.ts'
import { passwd } from '../../src/cli/commands/passwd.ts'

async function run(user: string, input: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const stdin = Object.assign(new PassThrough(), { isTTY: false })
  stdin.end(input)
  let stdout = ''
  let stderr = ''
  const code = await passwd([user], {
    stdin,
    stdout: { write: (text) => (stdout += text) !== '' },
    stderr: { write: (text) => (stderr += text) !== '' },
  })
  return { code, stdout, stderr }
}

test('passwd: one line from standard input becomes a line of the file', async () => {
  const { code, stdout, stderr } = await run('ann', 'correct horse \nignored\n')
  assert.deepEqual([code, stderr], [0, ''])
  const hash = parsePasswordFile(stdout).users.get('ann')
  assert.ok(hash !== undefined && isPassword('correct horse ', hash))
})

test('passwd: an empty password and a user that no file could hold are refused with a hint', async () => {
  for (const [user, input, message] of [
    ['ann', '', 'the password is empty'],
    ['ann', '\n', 'the password is empty'],
    ['a:b', 'x\n', '"a:b" cannot be a user'],
    ['#ann', 'x\n', '"#ann" cannot be a user'],
    ['', 'x\n', '"" cannot be a user'],
  ] as const) {
    const { code, stdout, stderr } = await run(user, input)
    assert.deepEqual([code, stdout], [1, ''])
    assert.ok(stderr.startsWith(`reverse-proxy: ${message}\n    hint: `), stderr)
  }
})
