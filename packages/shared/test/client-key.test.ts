import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientKey, foldMappedAddress } from '../src/client-key.ts'

test('an IPv4 client is its address, however the kernel prints it', () => {
  assert.equal(clientKey('203.0.113.5'), '203.0.113.5')
  assert.equal(clientKey('::ffff:203.0.113.5'), '203.0.113.5')
  assert.equal(clientKey('::ffff:cb00:7105'), '203.0.113.5')
})

test('an IPv6 client is its /64, in one spelling', () => {
  for (const address of [
    '2001:db8::1',
    '2001:db8:0:0:ffff:ffff:ffff:ffff',
    '2001:db8::dead:0:0:1',
    '2001:0db8::2',
  ]) {
    assert.equal(clientKey(address), '2001:db8:0:0::/64', address)
  }
  assert.equal(clientKey('2001:db8:0:1::1'), '2001:db8:0:1::/64')
  assert.equal(clientKey('::1'), '0:0:0:0::/64')
  assert.equal(clientKey('fe80::1%eth0'), 'fe80:0:0:0::/64')
})

test('only mapped addresses are folded', () => {
  assert.equal(foldMappedAddress('::ffff:127.0.0.1'), '127.0.0.1')
  for (const address of ['127.0.0.1', '::1', '2001:db8::ffff:1.2.3.4', '::fffe:1.2.3.4', 'fe80::1%eth0']) {
    assert.equal(foldMappedAddress(address), address)
  }
})
