import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { applyBans, packBanList, packBans } from '../src/bans/ban-changes.ts'
import { BanList, clientIdOf, clientKeyOf, type ClientId, MAX_BANS } from '../src/bans/ban-list.ts'

test('a client and its id are two spellings of one thing', () => {
  for (const key of [
    '203.0.113.5',
    '255.255.255.255',
    '2001:db8:0:1::/64',
    '0:0:0:0::/64',
    'ffff:ffff:ffff:ffff::/64',
  ]) {
    const id = clientIdOf(key)
    assert.ok(id !== undefined, key)
    assert.equal(clientKeyOf(id), key)
  }
  for (const key of ['', 'unix', '1.2.3', '1.2.3.256', '1.2.3.x', '1:2::g/64'])
    assert.equal(clientIdOf(key), undefined)
})

test('the list holds what a map would, through bans, ends, sweeps and lifted bans', () => {
  // Few ids and a small list: most share slots with others.
  const id = fc.record(
    { high: fc.constantFrom(0, 0xffffffff), low: fc.integer({ min: 1, max: 12 }) },
    { noNullPrototype: true },
  )
  const step = fc.record({
    id,
    act: fc.constantFrom('ban', 'ban', 'lift', 'sweep', 'wait'),
    ms: fc.integer({ min: 0, max: 9 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.integer(), (steps, seed) => {
      const list = new BanList(seed, 15)
      const model = new Map<string, { readonly id: ClientId; readonly endMs: number }>()
      let nowMs = 1_000
      const isOn = (name: string): boolean => (model.get(name)?.endMs ?? 0) > nowMs
      for (const { id: each, act, ms } of steps) {
        const name = JSON.stringify(each)
        if (act === 'wait') nowMs += ms * 100
        else if (act === 'lift') {
          const isKnown = list.delete(each)
          assert.ok(isKnown || !isOn(name))
          model.delete(name)
        } else if (act === 'sweep') {
          list.sweep(nowMs)
          for (const known of model.keys()) if (!isOn(known)) model.delete(known)
          list.sweep(nowMs)
          assert.equal(list.size, model.size)
        } else if (list.set(each, nowMs + ms * 100)) model.set(name, { id: each, endMs: nowMs + ms * 100 })
        else assert.equal(list.size, 15)
      }
      for (const [name, { id: each, endMs }] of model)
        assert.equal(list.endMsOf(each, nowMs), isOn(name) ? endMs : undefined)
      const listed = [...list.entries(nowMs)].map(({ high, low }) => JSON.stringify({ high, low }))
      assert.deepEqual(listed.toSorted(), [...model.keys()].filter(isOn).toSorted())
    }),
  )
})

test('another process gets the bans with the time that is left, and the lifted ones are off its list', () => {
  const [here, there] = [new BanList(1), new BanList(2)]
  const [a, b] = [
    { high: 0, low: 7 },
    { high: 9, low: 7 },
  ]
  here.set(a, 5_000)
  here.set(b, 900)
  applyBans(packBanList(here, 1_000), there, 70_000)
  assert.equal(there.endMsOf(a, 73_999), 74_000)
  assert.equal(there.endMsOf(a, 74_000), undefined)
  assert.equal(there.endMsOf(b, 70_000), undefined)
  applyBans(
    packBans([
      { ...a, leftMs: 0 },
      { ...b, leftMs: 100 },
    ]),
    there,
    70_000,
  )
  assert.equal(there.endMsOf(a, 70_000), undefined)
  assert.equal(there.endMsOf(b, 70_000), 70_100)
})

test('a million bans fit in 64 MB', () => {
  const before = process.memoryUsage()
  const list = new BanList(12_345)
  for (let low = 1; low <= MAX_BANS; low++) assert.ok(list.set({ high: 0, low: low * 7 }, 1_000))
  const after = process.memoryUsage()
  assert.equal(list.size, MAX_BANS)
  assert.equal(list.set({ high: 1, low: 1 }, 1_000), false)
  assert.ok(list.set({ high: 0, low: 7 }, 2_000), 'one that is on the list may be changed')
  assert.equal(list.endMsOf({ high: 0, low: MAX_BANS * 7 }, 0), 1_000)
  assert.ok(after.arrayBuffers - before.arrayBuffers <= 24_000_000 * 1.1, 'the table')
  assert.equal(packBanList(list, 0).byteLength, MAX_BANS * 12)
})
