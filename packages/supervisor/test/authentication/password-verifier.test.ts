// Passwords are compared off the event loop, and a client that guesses is slowed down.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FailureLimit } from '../../src/authentication/failure-limit.ts'
import { hashPassword } from '../../src/authentication/password-hash.ts'
import { PasswordVerifier } from '../../src/authentication/password-verifier.ts'
import { recordingLog } from '../support/recording-log.ts'

test('passwords: the right one is accepted; a wrong one, an unknown user and a twenty-first guess are not', async (t) => {
  let nowMs = 0
  const verifier = new PasswordVerifier({ nowMs: () => nowMs }, recordingLog())
  t.after(async () => await verifier.close())
  verifier.configure(new Map([['users', `ann:${hashPassword('right')}\nbob:${hashPassword('other')}`]]))
  const check = async (client: string, user: string, password: string): Promise<string> =>
    (await verifier.verify({ file: 'users', client, user, password })).kind
  assert.equal(await check('192.0.2.1', 'ann', 'right'), 'accepted')
  assert.equal(await check('192.0.2.1', 'bob', 'right'), 'denied')
  assert.equal(await check('192.0.2.1', 'eve', 'right'), 'denied')
  assert.equal(await check('192.0.2.1', 'eve', 'other'), 'denied')
  for (let guess = 4; guess <= 20; guess++)
    assert.equal(await check('192.0.2.1', 'ann', `guess ${guess}`), 'denied')
  assert.deepEqual(
    await verifier.verify({ file: 'users', client: '192.0.2.1', user: 'ann', password: 'right' }),
    {
      kind: 'busy',
      retryAfterSecs: 6,
    },
  )
  // Other clients are not concerned, and time heals.
  assert.equal(await check('192.0.2.2', 'ann', 'right'), 'accepted')
  nowMs += 6_000
  assert.equal(await check('192.0.2.1', 'ann', 'right'), 'accepted')
})

test('passwords: an empty file accepts nobody', async (t) => {
  const verifier = new PasswordVerifier({ nowMs: () => 0 }, recordingLog())
  t.after(async () => await verifier.close())
  const verdict = await verifier.verify({ file: 'users', client: 'c', user: 'ann', password: '' })
  assert.equal(verdict.kind, 'denied')
})

test('passwords: guesses that are made at once are no way around the limit', async (t) => {
  const verifier = new PasswordVerifier({ nowMs: () => 0 }, recordingLog())
  t.after(async () => await verifier.close())
  verifier.configure(new Map([['users', `ann:${hashPassword('right')}`]]))
  const guesses = Array.from({ length: 40 }, async (_, guess) => {
    const password = guess === 39 ? 'right' : `guess ${guess}`
    return (await verifier.verify({ file: 'users', client: 'c', user: 'ann', password })).kind
  })
  const verdicts = await Promise.all(guesses)
  assert.equal(verdicts.filter((kind) => kind === 'denied').length, 20)
  assert.equal(verdicts.filter((kind) => kind === 'busy').length, 20)
})

test('passwords: the memory of failures is bounded, and forgets who has waited', () => {
  const limit = new FailureLimit()
  for (let client = 0; client < 60_000; client++) for (let i = 0; i < 20; i++) limit.begin(`c${client}`, 0)
  assert.ok(limit.begin('c59999', 0) > 0)
  assert.equal(limit.begin('c0', 0), 0)
  assert.equal(limit.begin('c59999', 120_000), 0)
})
