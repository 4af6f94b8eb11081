// Lines about requests: whatever a client writes into its own, there is one line, with the fields that
// we gave it, in both formats.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { LogFormat } from '@reverse-proxy/shared/config/config'
import type { LogDevice } from '@reverse-proxy/shared/log/destination'
import { openLogs, type Logs } from '@reverse-proxy/shared/log/logs'
import { createAccessLog } from '../../src/observability/access-log.ts'
import type { RequestEntry } from '../../src/observability/access-log-entry.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { connectRaw } from '../../../../test/harness/clients/raw-client.ts'
import { siteOf, startSiteServer } from '../support/site-server.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

/** What a pipe takes at once (PIPE_BUF). */
const PIPE_BYTES = 4096
const ENTRY: RequestEntry = {
  clientIp: '203.0.113.5',
  host: 'a.example',
  method: 'GET',
  path: '/x',
  status: 200,
  upstream: '127.0.0.1:3000',
  durationMs: 12,
  bytes: 512,
  proto: 'h2',
  requestId: '019c0000-0000-7000-8000-000000000000',
}
const HOSTILE = [
  '/\nWARN RATE_LIMIT client_ip=203.0.113.9',
  '/\r\n2026-01-02T03:04:05.678Z WARN RATE_LIMIT client_ip=203.0.113.9 status=429',
  '/?client_ip=203.0.113.9',
  '/" client_ip=203.0.113.9 x="',
  '/\\" client_ip=203.0.113.9',
  '/\\',
  '/ status=403',
  '/\u0000\u001b[2J\u007f\u0085\u009b',
  '/\u2028WARN\u2029\u202e\ufeff\u200b',
  '/\ud800',
  '/\udc00\ud800x',
  '/caf\u00c3\u00a9',
  '/\u{1f600}',
  '","event":"RATE_LIMIT","client_ip":"203.0.113.9',
  '\t',
  '',
]

class MemoryDevice implements LogDevice {
  text = ''

  open(): void {}

  write(_fd: number, bytes: Uint8Array, done: (error: null, written: number) => void): void {
    this.text += Buffer.from(bytes).toString('latin1')
    process.nextTick(done, null, bytes.length)
  }

  close(): void {}

  encode(text: string): Uint8Array {
    return Buffer.from(text, 'latin1')
  }

  after(): () => void {
    return () => {}
  }
}

async function linesOf(format: LogFormat, log: (logs: Logs) => void): Promise<string[]> {
  const device = new MemoryDevice()
  const logs = openLogs({ level: 'info', format, filePath: undefined }, device, {
    fd: 1,
    maxWriteBytes: PIPE_BYTES,
  })
  log(logs)
  await logs.flush()
  assert.match(device.text, /^[\n -~]*$/u)
  const lines = device.text.split('\n')
  assert.equal(lines.pop(), '')
  return lines
}

/** A reader that accepts text lines and nothing else. */
function parseText(line: string): Record<string, string> {
  const head = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARN) ([A-Z_]+)/u.exec(line)
  assert.ok(head !== null, line)
  const [start, level = '', event = ''] = head
  const fields: Record<string, string> = { level: level.toLowerCase(), event }
  let rest = line.slice(start.length)
  while (rest !== '') {
    const field = /^ ([a-z_]+)=(?:("(?:[^"\\]|\\["\\]|\\u[0-9a-f]{4})*")|([^\s"=\\]+))/u.exec(rest)
    assert.ok(field !== null, rest)
    const [all, name = '', quoted, plain] = field
    assert.ok(!Object.hasOwn(fields, name), line)
    fields[name] = plain ?? String(JSON.parse(quoted ?? ''))
    rest = rest.slice(all.length)
  }
  return fields
}

function parseJson(line: string): Record<string, string> {
  const parsed: Record<string, unknown> = JSON.parse(line)
  const { time, ...fields } = parsed
  assert.match(String(time), /^\d{4}-/u)
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]))
}

const PARSERS = { text: parseText, json: parseJson }
const FORMATS = ['text', 'json'] as const

async function assertReadsBack(format: LogFormat, entry: RequestEntry): Promise<void> {
  const [line = '', ...more] = await linesOf(format, (logs) =>
    createAccessLog(logs, new TrafficMetrics(), 2).request(entry),
  )
  assert.deepEqual(more, [])
  assert.ok(line.length < PIPE_BYTES)
  assert.deepEqual(PARSERS[format](line), {
    level: 'info',
    event: 'REQUEST',
    client_ip: '203.0.113.5',
    host: entry.host,
    method: entry.method,
    path: entry.path,
    status: '200',
    upstream: '127.0.0.1:3000',
    duration_ms: '12',
    bytes: '512',
    proto: 'h2',
    request_id: ENTRY.requestId,
    worker: '2',
  })
}

test('both formats carry the same fields, and a text line has time, level, event and fields', async () => {
  for (const format of FORMATS) await assertReadsBack(format, ENTRY)
  const [line = ''] = await linesOf('text', (logs) =>
    createAccessLog(logs, new TrafficMetrics(), 2).request(ENTRY),
  )
  assert.equal(
    line.slice(25),
    'INFO REQUEST client_ip=203.0.113.5 host=a.example method=GET path=/x status=200 upstream=127.0.0.1:3000 duration_ms=12 bytes=512 proto=h2 request_id=019c0000-0000-7000-8000-000000000000 worker=2',
  )
})

test('newlines, quotes, names of fields, control bytes, half characters: one line, and what was sent is in it', async () => {
  for (const format of FORMATS) {
    for (const path of HOSTILE) {
      await assertReadsBack(format, { ...ENTRY, path })
      await assertReadsBack(format, { ...ENTRY, host: path, method: `G${path.slice(0, 4)}` })
    }
  }
})

test('any text: one line, and what was sent is in it', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc
      .array(fc.constantFrom(...HOSTILE, ' ', '=', '"', '\\', '\n', 'client_ip='), { maxLength: 5 })
      .map((parts) => parts.join('').slice(0, 42)),
    // What HTTP/2 lets through: a character for each byte.
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  )
  for (const format of FORMATS) {
    await fc.assert(
      fc.asyncProperty(text, text, async (path, host) => {
        await assertReadsBack(format, { ...ENTRY, path, host: host.slice(0, 40) })
      }),
      { numRuns: 100 },
    )
  }
})

test('text without end: cut, marked, and the line still one that a pipe takes whole', async () => {
  for (const format of FORMATS) {
    for (const unit of ['x', '"', '\n', '\u0001', '\u00e9', '\ud800', '\u{1f600}', 'a"\n']) {
      const long = unit.repeat(40_000)
      const entry = { ...ENTRY, path: `/${long}`, host: long, method: long }
      const [line = '', ...more] = await linesOf(format, (logs) =>
        createAccessLog(logs, new TrafficMetrics(), 2).request(entry),
      )
      assert.deepEqual(more, [])
      assert.ok(line.length < PIPE_BYTES, `${line.length} bytes`)
      const fields = PARSERS[format](line)
      const path = fields['path'] ?? ''
      assert.ok(path.endsWith('...') && path.length > 300)
      assert.ok(entry.path.startsWith(path.slice(0, -3)))
      assert.deepEqual([fields['status'], fields['worker']], ['200', '2'])
    }
  }
})

test('a long path that fits is written whole', async () => {
  for (const format of FORMATS) await assertReadsBack(format, { ...ENTRY, path: `/${'x'.repeat(2047)}` })
})

test('a client that breaks the protocol is counted by the cause that its line names', async (t) => {
  const { port, logged, metrics } = await startSiteServer(t, [siteOf(1)])
  const client = await connectRaw(t, port)
  client.send('nonsense\r\n\r\n')
  await client.closed()
  await waitFor('the line', () => logged.some(({ event }) => event === 'CLIENT_ERROR'))
  const counted = metrics.take().events.filter(({ event }) => event === 'client_error')
  assert.deepEqual(counted, [{ event: 'client_error', detail: 'INVALID_METHOD', count: 1 }])
})
