import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RestartWarnings } from '../src/reload.ts'

test('a setting that needs a full restart is warned of once for each change, also for the same one again', () => {
  const warnings = new RestartWarnings()
  const saysSo = ['user takes effect after a full restart']
  assert.deepEqual(warnings.take(new Map([['user', 'a']])), saysSo)
  assert.deepEqual(warnings.take(new Map([['user', 'a']])), [])
  assert.deepEqual(warnings.take(new Map([['user', 'b']])), saysSo, 'changed once more')
  assert.deepEqual(warnings.take(new Map()), [], 'as it runs')
  assert.deepEqual(warnings.take(new Map([['user', undefined]])), saysSo, 'left out of the file')
  assert.deepEqual(warnings.take(new Map([['user', undefined]])), [])
})
