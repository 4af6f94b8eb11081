// A file of users accepts the password that its hash was made of, and no other; a bad line is named.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { parsePasswordFile } from '../../src/authentication/password-file.ts'
import { hashPassword, isPassword, parsePasswordHash } from '../../src/authentication/password-hash.ts'

const SCRYPT = '$scrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$1RL+Xg0R5UtrsEx1/34MJGhCuDjQdo5E2HyYnASS5FE'

function isAccepted(text: string, password: string): boolean {
  const hash = parsePasswordHash(text)
  assert.ok(typeof hash !== 'string', text)
  return isPassword(password, hash)
}

test('password hashes: argon2id as passwd prints it, bcrypt of htpasswd, scrypt', async (t) => {
  const password = 'correct horse: bättery'
  const own = hashPassword(password)
  assert.match(own, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/u)
  assert.ok(isAccepted(own, password))
  assert.ok(!isAccepted(own, `${password}x`))
  assert.notEqual(own, hashPassword(password))

  await t.test('htpasswd', () => {
    const line = execFileSync('htpasswd', ['-nbB', '-C', '5', 'ann', password], { encoding: 'utf8' })
    const { users, issues } = parsePasswordFile(line)
    assert.deepEqual(issues, [])
    const hash = users.get('ann')
    assert.ok(hash !== undefined && isPassword(password, hash) && !isPassword('other', hash))
  })
  await t.test('openssl', () => {
    const options = ['-kdfopt', 'pass:secret', '-kdfopt', 'salt:saltsaltsaltsalt', '-kdfopt', 'n:16384']
    const kdf = ['kdf', '-keylen', '32', ...options, '-kdfopt', 'r:8', '-kdfopt', 'p:1', '-binary', 'SCRYPT']
    const tag = execFileSync('openssl', kdf).toString('base64').replaceAll('=', '')
    assert.equal(SCRYPT.split('$').at(-1), tag)
    assert.ok(isAccepted(SCRYPT, 'secret'))
    assert.ok(!isAccepted(SCRYPT, 'Secret'))
  })
})

test('bcrypt: a password beyond its 72 bytes is not taken for its beginning', () => {
  const line = execFileSync('htpasswd', ['-nbB', '-C', '5', 'ann', 'x'.repeat(72)], { encoding: 'utf8' })
  const hash = parsePasswordFile(line).users.get('ann')
  assert.ok(hash !== undefined && isPassword('x'.repeat(72), hash) && !isPassword('x'.repeat(73), hash))
})

test('password files: comments, blank lines, CRLF and a byte order mark pass; every bad line is named', () => {
  const good = hashPassword('x')
  assert.deepEqual(
    [...parsePasswordFile(`\uFEFF# staff\r\n\r\nann:${good}\r\nbob smith:${good} \n`).users.keys()],
    ['ann', 'bob smith'],
  )
  const file = [
    'nobody',
    `:${good}`,
    `ä:${good}`,
    'apr:$apr1$abc$def',
    'sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=',
    'plain:secret',
    `ann:${good}`,
    `ann:${good}`,
    'slow:$2y$31$ABCDEFGHIJKLMNOPQRSTUVABCDEFGHIJKLMNOPQRSTUVABCDEFGHIJKLM',
    'big:$argon2id$v=19$m=9999999,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$c2FsdHNhbHRzYWx0c2FsdA',
    'deep:$scrypt$ln=30,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$c2FsdHNhbHRzYWx0c2FsdA',
  ].join('\n')
  const { users, issues } = parsePasswordFile(file)
  assert.deepEqual([...users.keys()], ['ann'])
  assert.deepEqual(
    issues.map(({ line }) => line),
    [1, 2, 3, 4, 5, 6, 8, 9, 10, 11],
  )
  assert.ok(issues.every(({ message }) => !message.includes('secret')))
})
