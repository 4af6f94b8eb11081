import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newRequestId } from '../../src/message/request-id.ts'

const UUID_7 = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('identifiers are UUIDs of version 7 that begin with their time, and no two are alike', () => {
  const ids = new Set<string>()
  for (const nowMs of [Date.UTC(2026, 0, 2), Date.UTC(2026, 0, 2) + 1, 1, Date.UTC(2026, 0, 2)]) {
    for (let count = 0; count < 600; count++) {
      const id = newRequestId(nowMs)
      const [, high = '', low = ''] = UUID_7.exec(id) ?? []
      assert.equal(Number.parseInt(high + low, 16), nowMs, id)
      ids.add(id)
    }
  }
  assert.equal(ids.size, 2_400)
  // Each random digit takes all its values; of those of the variant there are four.
  for (const at of [15, 16, 17, 20, 21, 22, 24, 30, 35])
    assert.equal(new Set([...ids].map((id) => id[at])).size, 16, `digit ${at}`)
  assert.deepEqual(new Set([...ids].map((id) => id[19])), new Set(['8', '9', 'a', 'b']))
})
