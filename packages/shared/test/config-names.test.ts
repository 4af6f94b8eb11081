// Host names, addresses and upstreams: what is let in, what is refused, and that each has one spelling.
import assert from 'node:assert/strict'
import { isIP, isIPv6 } from 'node:net'
import { test } from 'node:test'
import { domainToASCII } from 'node:url'
import * as fc from 'fast-check'
import { nameCovers, namesCover, parseHostName } from '../src/config/host-name.ts'
import { parseUpstream } from '../src/config/upstream.ts'
import { isWildcardAddress, parseIpAddress } from '../src/ip-address.ts'

const host = (text: string) => parseHostName(text, domainToASCII)

const letter = fc.constantFrom(...Array.from('abcxyzABZ'))
const inner = fc.constantFrom(...Array.from('abcxyzABZ0189-'))
const label = fc
  .tuple(letter, fc.array(inner, { maxLength: 61 }), letter)
  .map(([first, middle, last]) => `${first}${middle.join('')}${last}`)
const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'))
const port = fc.integer({ min: 1, max: 65_535 })
const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 })

test('every name of letters, digits and inner hyphens is a host, in lower case', () => {
  fc.assert(fc.property(name, (text) => host(text) === text.toLowerCase()))
  fc.assert(fc.property(name, (text) => host(`*.${text}`) === `*.${text.toLowerCase()}`))
})

test('whatever is accepted is a name: no byte that means something elsewhere', () => {
  const soup = fc.string({ unit: fc.constantFrom(...Array.from('ab.*-_:/@[]% \u00e9\n"0')), maxLength: 20 })
  fc.assert(
    fc.property(fc.oneof(soup, fc.string({ unit: 'grapheme' })), (text) => {
      const parsed = host(text)
      if (typeof parsed !== 'string') return parsed.hint !== '' && parsed.message !== ''
      return parsed.length <= 253 && /^(?:\*\.)?(?:[a-z0-9][a-z0-9-]*\.)*[a-z0-9][a-z0-9-]*$/u.test(parsed)
    }),
    { numRuns: 2_000 },
  )
})

test('an accepted host parses to itself', () => {
  fc.assert(
    fc.property(name, (text) => {
      const parsed = host(text)
      assert.ok(typeof parsed === 'string')
      assert.equal(host(parsed), parsed)
    }),
  )
})

test('a name with a port, an address, an address with a port', () => {
  fc.assert(fc.property(name, port, (text, number) => codeOf(`${text}:${number}`) === 'HOST_WITH_PORT'))
  fc.assert(fc.property(fc.ipV4(), (text) => codeOf(text) === 'HOST_IS_ADDRESS'))
  fc.assert(
    fc.property(
      fc.ipV6(),
      (text) => codeOf(text) === 'HOST_IS_ADDRESS' && codeOf(`[${text}]`) === codeOf(text),
    ),
  )
  assert.equal(codeOf('1.2.3'), 'HOST_IS_ADDRESS')
  assert.equal(codeOf('a.0x7f'), 'HOST_IS_ADDRESS')
  assert.equal(codeOf(''), 'HOST_MISSING')
})

test('the longest name has 253 characters, the longest label 63', () => {
  const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`
  assert.equal(host(long), long)
  assert.equal(typeof host(`${long}d`), 'object')
  assert.equal(typeof host(`${'a'.repeat(64)}.example`), 'object')
})

test('a wildcard of a certificate stands for exactly one label', () => {
  assert.ok(nameCovers('a.example', 'a.example'))
  assert.ok(nameCovers('*.example', 'a.example'))
  assert.ok(nameCovers('*.example', '*.example'))
  assert.ok(!nameCovers('*.example', 'example'))
  assert.ok(!nameCovers('*.example', 'a.b.example'))
  assert.ok(!nameCovers('*.example', '*.b.example'))
  assert.ok(!nameCovers('a.example', '*.example'))
  assert.ok(!nameCovers('*.b.example', '*.example'))
})

test('of many names one is found that covers a host, or none', () => {
  const aName = fc.constantFrom(
    'example',
    'a.example',
    '*.example',
    'a.b.example',
    '*.b.example',
    '*.*.example',
  )
  fc.assert(
    fc.property(fc.array(aName), aName, (names, wanted) => {
      assert.equal(
        namesCover(new Set(names), wanted),
        names.some((one) => nameCovers(one, wanted)),
      )
    }),
  )
})

test('an address is what the system says is one', () => {
  const soup = fc.string({ unit: fc.constantFrom(...Array.from('0123456789abf:.%')), maxLength: 24 })
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), soup), agreesWithSystem), { numRuns: 2_000 })
  for (const text of [
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3',
    '::1::',
    ':::',
    '1:2:3:4:5:6:7::8',
    '::1.2.3.4',
    '1::1.2.3.4:5',
  ]) {
    assert.ok(agreesWithSystem(text), text)
  }
})

test('an address has one spelling, however it is written', () => {
  fc.assert(
    fc.property(groups, (numbers) => {
      const full = numbers.map((number) => number.toString(16).padStart(4, '0').toUpperCase()).join(':')
      const parsed = parseIpAddress(full)
      assert.ok(parsed)
      // The WHATWG URL parser serialises IPv6 the way RFC 5952 wants it, save for mapped addresses.
      if (parsed.family === 6) assert.equal(`[${parsed.text}]`, new URL(`http://[${full}]/`).hostname)
      assert.deepEqual(parseIpAddress(parsed.text), parsed)
    }),
  )
  fc.assert(
    fc.property(
      fc.ipV6(),
      (text) => isIPv6(text) && parseIpAddress(text)?.text === parseIpAddress(text.toUpperCase())?.text,
    ),
  )
  assert.deepEqual(parseIpAddress('::FFFF:192.0.2.1'), { family: 4, text: '192.0.2.1' })
  assert.deepEqual(parseIpAddress('0:0::ffff:c000:0201'), { family: 4, text: '192.0.2.1' })
  assert.deepEqual(parseIpAddress('fe80::1%eth0'), { family: 6, text: 'fe80::1%eth0' })
  assert.equal(parseIpAddress('192.0.2.1%eth0'), undefined)
})

test('wildcard addresses in every spelling', () => {
  for (const text of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0', '::0', '::ffff:0.0.0.0'])
    assert.ok(isWildcard(text), text)
  for (const text of ['127.0.0.1', '::1', '0.0.0.1']) assert.ok(!isWildcard(text), text)
})

test('an upstream is a name or an address with a port', () => {
  fc.assert(
    fc.property(name, port, (text, number) => {
      assert.deepEqual(parseUpstream(`${text}:${number}`), { host: text.toLowerCase(), port: number })
    }),
  )
  fc.assert(
    fc.property(fc.ipV6(), port, (text, number) => {
      assert.deepEqual(parseUpstream(`[${text}]:${number}`), {
        host: parseIpAddress(text)?.text,
        port: number,
      })
    }),
  )
})

test('whatever is no upstream is refused with something to write instead', () => {
  const soup = fc.string({ unit: fc.constantFrom(...Array.from('ab1.:[]/_- \u00e9')), maxLength: 16 })
  fc.assert(
    fc.property(soup, (text) => {
      const upstream = parseUpstream(text)
      if ('message' in upstream) return upstream.hint !== ''
      return upstream.port > 0 && upstream.port < 65_536 && /^[a-z0-9_.:-]+$/u.test(upstream.host)
    }),
    { numRuns: 2_000 },
  )
  for (const text of [
    'a.example',
    'a.example:',
    ':80',
    'a:80:90',
    '[::1]',
    '[::1]80',
    '1.2.3:80',
    'a b:80',
    'a:080',
    'a.:80',
  ]) {
    assert.ok('message' in parseUpstream(text), text)
  }
})

function codeOf(text: string) {
  const parsed = host(text)
  return typeof parsed === 'string' ? parsed : parsed.code
}

function agreesWithSystem(text: string) {
  return text.includes('%') || (parseIpAddress(text) !== undefined) === isIP(text) > 0
}

function isWildcard(text: string) {
  const address = parseIpAddress(text)
  return address !== undefined && isWildcardAddress(address)
}

test('an upstream that is a Unix socket is told from one whose port is wrong', () => {
  assert.deepEqual(parseUpstream('unix:/run/x.sock'), {
    message: '"unix:/run/x.sock" is a Unix socket',
    hint: 'upstreams are reached over TCP: write host:port, such as "127.0.0.1:3000" or "[::1]:3000"',
  })
})
