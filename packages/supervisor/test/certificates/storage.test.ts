// The promises of a certificate storage, whatever it keeps them in.
import assert from 'node:assert/strict'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { openFileStorage } from '../../src/certificates/storage/file-storage.ts'
import { DamagedValueError, readValue } from '../../src/certificates/storage/storage.ts'

const LOCK_OPTIONS = { signal: new AbortController().signal, onWaiting: () => {} }

test('values are stored, replaced and removed; a part of it has keys of its own', async (t) => {
  const storage = openFileStorage(temporaryDirectory(t))
  await storage.prepare()
  assert.equal(await storage.load('a.json'), undefined)
  await storage.store('a.json', 'one')
  await storage.store('accounts/b.json', 'two')
  await storage.store('accounts/a.json', 'three')
  await storage.store('a.json', 'four')
  assert.equal(await storage.load('a.json'), 'four')
  assert.equal(await storage.within('accounts').load('b.json'), 'two')
  await storage.remove('accounts/b.json')
  await storage.remove('accounts/b.json')
  await storage.remove('never/there.json')
  assert.equal(await storage.load('accounts/b.json'), undefined)
  assert.equal(await storage.load('accounts/a.json'), 'three')
})

test('nothing is stored or removed under a lock that is lost', async (t) => {
  const storage = openFileStorage(temporaryDirectory(t))
  const lock = await storage.lock(LOCK_OPTIONS)
  await storage.store('a.json', 'mine', lock)
  await lock.release()
  const next = await storage.lock(LOCK_OPTIONS)
  await assert.rejects(storage.store('a.json', 'stale', lock), { code: 'CACHE' })
  await assert.rejects(storage.remove('a.json', lock), { code: 'CACHE' })
  assert.equal(await storage.load('a.json'), 'mine')
  await next.release()
})

test('a damaged value is quarantined with the reason, and costs nothing else', async (t) => {
  const directory = temporaryDirectory(t)
  const storage = openFileStorage(directory)
  await storage.store('a.json', 'not what is written')
  symlinkSync('/etc/hostname', join(directory, 'b.json'))
  await assert.rejects(storage.load('b.json'), DamagedValueError)
  const reasons: string[] = []
  const onQuarantined = ({ reason }: { readonly reason: string }): void => void reasons.push(reason)
  for (const key of ['a.json', 'b.json']) {
    const read = readValue({ storage, key, parse: () => undefined, onQuarantined })
    assert.equal(await read, undefined)
    assert.equal(await storage.load(key), undefined)
  }
  assert.match(reasons.join('; '), /^its content is damaged; .*is a symbolic link$/u)
})
