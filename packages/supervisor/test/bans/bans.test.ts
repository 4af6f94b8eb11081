// Who is banned, as the supervisor decides it from what the workers report.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientKeyOf } from '@reverse-proxy/shared/bans/ban-list'
import type { BanRule } from '@reverse-proxy/shared/config/config'
import { Bans } from '../../src/bans/bans.ts'
import { OffenceCounts } from '../../src/bans/offence-counts.ts'
import { recordingLog } from '../support/recording-log.ts'

const GENERAL: BanRule = { after: 10, withinMs: 600_000, forMs: 3_600_000, statuses: [401], scope: '' }
const STRICT: BanRule = { ...GENERAL, after: 3, forMs: 60_000, scope: 'login.test' }

function start(rules: readonly BanRule[] = [GENERAL, STRICT], capacity = 100) {
  const log = recordingLog()
  const sent: (readonly [client: string, leftMs: number])[] = []
  let nowMs = 0
  const bans = new Bans({
    log,
    nowMs: () => nowMs,
    seed: 1,
    capacity,
    publish: (changes) => {
      for (let i = 0; i < changes.length; i += 3) {
        const [high = 0, low = 0, left = 0] = changes.subarray(i)
        sent.push([clientKeyOf({ high, low }), left * 100])
      }
    },
  })
  const configure = (next: readonly BanRule[]): void =>
    bans.configure(new Map(next.map((rule) => [rule.scope, rule])))
  configure(rules)
  return {
    bans,
    log,
    sent,
    configure,
    wait: (ms: number) => (nowMs += ms),
    offend: (key: string, count = 1) => bans.report([{ key, count }]),
  }
}

test('ten offences, whoever of the workers reports them, are a ban that every worker hears of once', () => {
  const { bans, log, sent, offend, wait } = start()
  for (let worker = 0; worker < 4; worker++) offend('203.0.113.5', 2)
  offend('203.0.113.6', 9)
  offend('203.0.113.5')
  assert.deepEqual([bans.size, sent], [0, []])
  offend('203.0.113.5', 5)
  assert.deepEqual(sent, [['203.0.113.5', 3_600_000]])
  // Those that were under way.
  offend('203.0.113.5', 20)
  assert.equal(sent.length, 1)
  assert.deepEqual(log.lines, [
    { level: 'warn', event: 'BAN', client_ip: '203.0.113.5', host: undefined, for_secs: 3600 },
  ])
  assert.deepEqual([...bans.list()], [{ client: '203.0.113.5', leftMs: 3_600_000 }])
  wait(3_599_999)
  assert.equal(bans.of('203.0.113.5')?.leftMs, 1)
  wait(1)
  assert.deepEqual([bans.of('203.0.113.5')?.leftMs, bans.size], [undefined, 0])
  // It begins anew.
  offend('203.0.113.5', 9)
  assert.equal(sent.length, 1)
})

test('only offences within the time count, however they are spread over it', () => {
  const { sent, offend, wait } = start()
  for (let i = 0; i < 100; i++) {
    offend('203.0.113.5')
    wait(66_667)
  }
  assert.deepEqual(sent, [])
  for (let i = 0; i < 10; i++) {
    offend('203.0.113.5')
    wait(60_000)
  }
  assert.equal(sent.length, 1)
})

test('a site with a rule of its own counts apart, and bans for its own time', () => {
  const { bans, sent, log, offend } = start()
  offend('2001:db8:0:1::/64', 9)
  offend('2001:db8:0:1::/64|login.test', 2)
  assert.deepEqual(sent, [])
  offend('2001:db8:0:1::/64|login.test')
  assert.deepEqual(sent, [['2001:db8:0:1::/64', 60_000]])
  assert.equal(bans.of('2001:db8:0:1:2:3:4:5')?.leftMs, 60_000)
  assert.equal(log.lines[0]?.['host'], 'login.test')
})

test('a lifted ban: by any address of the client, and its offences are forgotten', () => {
  const { bans, sent, log, offend } = start()
  offend('2001:db8:0:1::/64|login.test', 2)
  offend('2001:db8:0:1::/64', 10)
  assert.equal(bans.unban('2001:db8:0:1::77'), undefined)
  assert.deepEqual(sent.at(-1), ['2001:db8:0:1::/64', 0])
  assert.deepEqual(log.lines.at(-1), { level: 'info', event: 'UNBAN', client_ip: '2001:db8:0:1::/64' })
  assert.equal(bans.unban('2001:db8:0:1::/64'), 'not-banned')
  assert.equal(bans.of('no address'), undefined)
  offend('2001:db8:0:1::/64|login.test', 2)
  assert.equal(bans.size, 0)
  offend('2001:db8:0:1::/64', 10)
  assert.equal(bans.unban('2001:db8:0:1::/64'), undefined)
  for (const text of ['', 'localhost', '203.0.113.0/24', '203.0.113.5;'])
    assert.equal(bans.unban(text), 'no-address', text)
})

test('bans outlast a change of the rules and reach fresh workers; without any rule there are none', () => {
  const { bans, configure, offend } = start()
  offend('203.0.113.5', 10)
  configure([STRICT])
  assert.equal(bans.size, 1)
  assert.deepEqual([...bans.packed], [0, 0xcb007105, 36_000])
  // A rule that is gone counts nothing.
  offend('203.0.113.6', 10)
  assert.equal(bans.size, 1)
  configure([])
  assert.deepEqual([bans.size, bans.packed.length], [0, 0])
})

test('a full list keeps its bans, says so once, and takes new ones when some have ended', () => {
  const { bans, log, offend, wait } = start([GENERAL], 2)
  for (const client of ['203.0.113.1', '203.0.113.2', '203.0.113.3', '203.0.113.4']) offend(client, 10)
  assert.deepEqual([bans.size, log.lines.filter(({ event }) => event === 'BANS_FULL').length], [2, 1])
  wait(3_600_000)
  offend('203.0.113.5', 10)
  assert.deepEqual(
    [...bans.list()].map(({ client }) => client),
    ['203.0.113.5'],
  )
})

test('the memory of offences is bounded: who has offended least recently is forgotten first', () => {
  const counts = new OffenceCounts({ clients: 3, offences: 12 })
  for (const client of ['a', 'b', 'c', 'd']) counts.add(client, 4, GENERAL, 0)
  assert.equal(counts.size, 3)
  counts.add('b', 1, GENERAL, 1)
  assert.equal(counts.size, 2, 'thirteen offences are one too many')
  assert.equal(counts.add('b', 5, GENERAL, 2), true)
  assert.equal(counts.add('c', 6, GENERAL, 2), false, 'forgotten')
  counts.add('z', 1, GENERAL, 600_002)
  assert.equal(counts.size, 1, 'offences that no longer count are forgotten')
})
