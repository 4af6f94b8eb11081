import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrafficMetrics } from '../../src/observability/metrics.ts'

test('kinds of events beyond the limit are counted together, also of an event that has come late', () => {
  const metrics = new TrafficMetrics()
  for (let kind = 0; kind < 1_000; kind++) metrics.count('tls_failed', `E${kind}`)
  metrics.count('upstream_error', 'closed')
  const { events } = metrics.take()
  assert.ok(events.length <= 202, String(events.length))
  assert.equal(
    events.reduce((sum, { count }) => sum + count, 0),
    1_001,
  )
  assert.deepEqual(events.at(-1), { event: 'upstream_error', detail: '', count: 1 })
})
