import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { bucketIdOf } from '../../src/rate-limit/buckets.ts'
import { BucketTable } from '../../src/rate-limit/bucket-table.ts'

test('the table holds what a map would, through any insertions and removals', () => {
  // Few ids and a small table: most share slots with others.
  const id = fc.record(
    {
      high: fc.constantFrom(0, 1, 0xffffffff),
      low: fc.integer({ min: 0, max: 9 }),
      tag: fc.constantFrom(0, 3),
    },
    { noNullPrototype: true },
  )
  const step = fc.record({ id, removes: fc.boolean(), tokens: fc.double({ noNaN: true }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer(), (steps, seed) => {
      const table = new BucketTable(20, seed)
      const model = new Map<string, { id: { high: number; low: number; tag: number }; tokens: number }>()
      for (const { id: each, removes, tokens } of steps) {
        const name = JSON.stringify(each)
        const position = table.find(each)
        assert.equal(position >= 0, model.has(name))
        if (position < 0) {
          if (table.size === table.capacity) continue
          table.insert(each, { tokens, leased: 7, atMs: 0.5 })
          model.set(name, { id: each, tokens })
        } else if (removes) {
          table.remove(position)
          model.delete(name)
        } else {
          table.write(position, { tokens, leased: 7, atMs: 0.5 })
          model.set(name, { id: each, tokens })
        }
        assert.equal(table.size, model.size)
      }
      for (const { id: each, tokens } of model.values()) {
        const position = table.find(each)
        assert.deepEqual(table.idAt(position), each)
        assert.deepEqual(table.read(position), { tokens, leased: 7, atMs: 0.5 })
      }
    }),
  )
})

test('every client has an id of its own in every scope', () => {
  const clients = [
    '0.0.0.1',
    '1.0.0.0',
    '203.0.113.5',
    '0:0:0:1::/64',
    '0:0:0:0::/64',
    '2001:db8:0:1::/64',
    '0.0.0.0',
  ]
  const ids = clients.flatMap((client) => [0, 1, 2].map((scope) => JSON.stringify(bucketIdOf(client, scope))))
  assert.equal(new Set(ids).size, ids.length)
  assert.deepEqual(bucketIdOf('255.254.0.1', 3), { high: 0, low: 0xfffe0001, tag: 6 })
  assert.deepEqual(bucketIdOf('2001:db8:ff:1::/64', 3), { high: 0x20010db8, low: 0x00ff0001, tag: 7 })
})
