import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { formatLine, formatValue } from '../src/log-fields.ts'

test('a text line has time, level, event and fields', () => {
  const fields = {
    client_ip: '203.0.113.5',
    host: 'a.example',
    path: '/x',
    status: 200,
    error: 'connection refused',
  }
  assert.equal(
    formatLine(Date.UTC(2026, 0, 2, 3, 4, 5, 678), 'INFO', 'REQUEST', fields),
    '2026-01-02T03:04:05.678Z INFO REQUEST client_ip=203.0.113.5 host=a.example path=/x status=200 error="connection refused"\n',
  )
})

test('a line begins with its time in ISO 8601, whatever came before it', () => {
  const second = Date.UTC(2026, 11, 31, 23, 59, 59)
  for (const ms of [0, 7, 78, 999, 1_000, 1_001, 61_000, 0])
    assert.equal(
      formatLine(second + ms, 'INFO', 'READY', {}),
      `${new Date(second + ms).toISOString()} INFO READY\n`,
    )
})

test('a value is plain only if all of it is visible ASCII without what has a meaning', () => {
  for (let code = 0; code <= 0x100; code++) {
    const character = String.fromCharCode(code)
    const isPlain = /[!#-<>-[\]-~]/.test(character)
    assert.equal(formatValue(`a${character}`) === `a${character}`, isPlain, String(code))
  }
  assert.equal(formatValue(''), '""')
})

test('a field that is not set is left out', () => {
  assert.ok(!formatLine(0, 'INFO', 'REQUEST', { upstream: undefined }).includes('upstream'))
})

test('client text forges neither a line nor a field', () => {
  assert.equal(formatValue('/x client_ip=1.2.3.4'), '"/x client_ip=1.2.3.4"')
  assert.equal(formatValue('/x?client_ip=1.2.3.4'), '"/x?client_ip=1.2.3.4"')
  assert.equal(formatValue('a\r\nWARN RATE_LIMIT'), '"a\\u000d\\u000aWARN RATE_LIMIT"')
  assert.equal(formatValue('a" b="c'), '"a\\" b=\\"c"')
  assert.equal(formatValue('\u001b[31m\u2028\u202e'), '"\\u001b[31m\\u2028\\u202e"')
  assert.equal(formatValue(''), '""')
})

test('every string: one line, no control byte, and a reader gets it back', () => {
  const anyText = fc.string({ unit: 'binary', maxLength: 40 })
  fc.assert(
    fc.property(anyText, (text) => {
      const formatted = formatValue(text)
      // oxlint-disable-next-line no-misleading-character-class
      assert.doesNotMatch(formatted, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/u)
      const quoted = /^"(?<inner>(?:[^"\\]|\\["\\]|\\u[0-9a-f]{4})*)"$/u.exec(formatted)
      if (quoted === null) {
        assert.doesNotMatch(formatted, /[\s"=\\]/u)
        assert.equal(formatted, text)
      } else {
        assert.equal(JSON.parse(formatted), text)
      }
    }),
  )
})
