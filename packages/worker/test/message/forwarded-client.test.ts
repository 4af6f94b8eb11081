// Finds the client of a request that came through proxies: text that a client wrote itself never counts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forwardedClient, parseForwardedAddress } from '../../src/message/forwarded-client.ts'

const isTrusted = (ip: string): boolean => ip.startsWith('10.') || ip.startsWith('2001:db8:1:')

test('X-Forwarded-For: the right-most address that is not trusted', () => {
  const cases: [values: string[], client: string][] = [
    [['203.0.113.9'], '203.0.113.9'],
    [['198.51.100.1, 203.0.113.9, 10.0.0.2'], '203.0.113.9'],
    [['1.1.1.1, 203.0.113.9'], '203.0.113.9'],
    [['1.1.1.1', '203.0.113.9', '10.0.0.3,10.0.0.2'], '203.0.113.9'],
    [['2001:DB8::5, 2001:db8:1::1'], '2001:db8::5'],
    [['::ffff:203.0.113.9'], '203.0.113.9'],
    [[' , 203.0.113.9 ,, '], '203.0.113.9'],
    // All are trusted: the first of them.
    [['10.0.0.4, 10.0.0.3'], '10.0.0.4'],
    // Nothing there.
    [[], '10.0.0.1'],
    [[''], '10.0.0.1'],
    // An element that cannot be read ends the search.
    [['203.0.113.9, unknown'], '10.0.0.1'],
    [['203.0.113.9, unknown, 10.0.0.2'], '10.0.0.2'],
    [['203.0.113.9, 10.0.0.2 10.0.0.3'], '10.0.0.1'],
  ]
  for (const [values, client] of cases)
    assert.equal(forwardedClient('10.0.0.1', values.join(', '), isTrusted), client, values.join('|'))
})

test('X-Forwarded-For: addresses with ports and in brackets are read, nothing else is', () => {
  assert.equal(parseForwardedAddress('203.0.113.9:4711'), '203.0.113.9')
  assert.equal(parseForwardedAddress('[2001:db8::1]:4711'), '2001:db8::1')
  assert.equal(parseForwardedAddress('[2001:db8::1]'), '2001:db8::1')
  for (const text of [
    '',
    '"203.0.113.9"',
    '203.0.113.9:',
    '203.0.113.9:x',
    '[203.0.113.9]',
    '[::1',
    'fe80::1%eth0',
  ])
    assert.equal(parseForwardedAddress(text), undefined, text)
})
