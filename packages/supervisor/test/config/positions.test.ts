// Places are those of the key that an operator has to change, however the file spells it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigPath } from '@reverse-proxy/shared/config/issues'
import { locator } from '../../src/config/document/positions.ts'

const TEXT = `workers = 2
rate_limit.burst = 3
"quoted key" = 1
'literal.key'.inner = 2

[[listeners]]
bind_addr = ["127.0.0.1",
  "::1"]
tls = { mode = "internal", nested = { deep = [ { x = 1 }, { x = 2 } ] } }

  [[listeners.sites]]
  host = "a"
  body.limit_bytes = 5

  [[listeners.sites]]
  host = "b"

[[listeners]]

[listeners.tls]
mode = "x"
certificates = [
  { cert_path = "a" },
  { cert_path = "b" },
]
`

const PLACES: readonly (readonly [title: string, at: ConfigPath, place: string])[] = [
  ['a plain key', ['workers'], '1:1'],
  ['the last part of a dotted key', ['rate_limit', 'burst'], '2:12'],
  ['the first part of a dotted key', ['rate_limit'], '2:1'],
  ['what is missing beside a dotted key', ['rate_limit', 'requests_per_second'], '2:1'],
  ['a quoted key', ['quoted key'], '3:1'],
  ['a quoted part with a dot in it', ['literal.key', 'inner'], '4:15'],
  ['the first table of an array', ['listeners'], '6:1'],
  ['a table of an array', ['listeners', 0], '6:1'],
  ['an array', ['listeners', 0, 'bind_addr'], '7:1'],
  ['an element of an array', ['listeners', 0, 'bind_addr', 0], '7:14'],
  ['an element on its own line', ['listeners', 0, 'bind_addr', 1], '8:3'],
  ['a key of an inline table', ['listeners', 0, 'tls', 'mode'], '9:9'],
  ['what is missing in an inline table', ['listeners', 0, 'tls', 'acme_contact'], '9:1'],
  ['a key of an inline table in an array in one', ['listeners', 0, 'tls', 'nested', 'deep', 1, 'x'], '9:61'],
  ['a table of an array in a table of an array', ['listeners', 0, 'sites', 1], '15:3'],
  ['a key there', ['listeners', 0, 'sites', 1, 'host'], '16:3'],
  ['a dotted key there', ['listeners', 0, 'sites', 0, 'body', 'limit_bytes'], '13:8'],
  ['what is missing there', ['listeners', 0, 'sites', 1, 'upstream'], '15:3'],
  ['a table of the last table of an array', ['listeners', 1, 'tls', 'mode'], '21:1'],
  [
    'an inline table in an array over several lines',
    ['listeners', 1, 'tls', 'certificates', 1, 'cert_path'],
    '24:5',
  ],
  ['what is missing in the second table', ['listeners', 1, 'bind_addr'], '18:1'],
  ['what is missing at the top', ['body'], '1:1'],
]

test('places of keys', async (t) => {
  const locate = await locator(TEXT)
  for (const [title, at, expected] of PLACES) {
    await t.test(title, () => {
      const { line, column } = locate(at)
      assert.equal(`${line}:${column}`, expected)
    })
  }
})

test('lines end in CRLF as well', async () => {
  const locate = await locator('a = 1\r\n[b]\r\nc = 2\r\n')
  assert.deepEqual(locate(['b', 'c']), { line: 3, column: 1 })
})

test('a text that is no TOML has no places', async () => {
  const locate = await locator('a = = 1')
  assert.deepEqual(locate(['a']), { line: 1, column: 1 })
})
