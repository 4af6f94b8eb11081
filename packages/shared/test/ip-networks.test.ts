// Networks are written in CIDR notation, whatever the spelling of the address.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseIpNetwork } from '../src/ip-networks.ts'

test('networks: an address, a network in CIDR notation, IPv4-mapped as IPv4', () => {
  assert.deepEqual(parseIpNetwork('10.0.0.0/8'), { family: 4, address: '10.0.0.0', prefix: 8 })
  assert.deepEqual(parseIpNetwork('10.1.2.3'), { family: 4, address: '10.1.2.3', prefix: 32 })
  assert.deepEqual(parseIpNetwork('2001:DB8::/32'), { family: 6, address: '2001:db8::', prefix: 32 })
  assert.deepEqual(parseIpNetwork('::/0'), { family: 6, address: '::', prefix: 0 })
  assert.deepEqual(parseIpNetwork('0.0.0.0/0'), { family: 4, address: '0.0.0.0', prefix: 0 })
  assert.deepEqual(parseIpNetwork('::ffff:10.0.0.0/104'), { family: 4, address: '10.0.0.0', prefix: 8 })
})

test('networks: what is none is refused, host bits after the prefix among it', () => {
  const bad = ['', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '10.0.0/8', '10.1.2.3/8', '2001:db8::1/32']
  const worse = ['2001:db8::/129', '10.0.0.0/8/8', 'fe80::1%eth0', 'fe80::%eth0/10', '::ffff:10.0.0.0/8', 'x']
  for (const text of [...bad, ...worse]) assert.equal(parseIpNetwork(text), undefined, text)
})
