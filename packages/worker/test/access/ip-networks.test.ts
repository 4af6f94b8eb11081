// An address is in a network exactly when its leading bits are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as check, integer, nat, property, tuple } from 'fast-check'
import { IpNetworks } from '../../src/access/ip-networks.ts'

test('networks: private means what no stranger has', () => {
  const networks = new IpNetworks(['private'])
  for (const ip of [
    '127.0.0.1',
    '10.2.3.4',
    '172.31.255.255',
    '192.168.1.1',
    '::1',
    'fd00::1',
    'fe80::1%eth0',
  ])
    assert.ok(networks.has(ip), ip)
  for (const ip of ['172.32.0.0', '8.8.8.8', '2001:db8::1', '0.0.0.0', '::', '11.0.0.0'])
    assert.ok(!networks.has(ip), ip)
  assert.ok(!new IpNetworks([]).has('127.0.0.1'))
  assert.throws(() => new IpNetworks(['10.1.2.3/8']), TypeError)
})

test('networks: an address is in a network if and only if its leading bits are', () => {
  const ipv4 = tuple(nat(0xffff_ffff), nat(0xffff_ffff), integer({ min: 0, max: 32 }))
  check(
    property(ipv4, ([network, address, prefix]) => {
      const mask = prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0
      const start = (network & mask) >>> 0
      const networks = new IpNetworks([`${dotted(start)}/${prefix}`])
      assert.equal(networks.has(dotted(address)), (address & mask) >>> 0 === start)
      assert.ok(networks.has(dotted(start)))
    }),
  )
})

function dotted(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.')
}
