import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TrafficMetrics } from '../src/metrics.ts'

test('kinds of events beyond the limit are counted together, also of an event that has come late', () => {
  const metrics = new TrafficMetrics()
  for (let kind = 0; kind < 1_000; kind++) metrics.countEvent('TLS_FAILED', { error: `E${kind}` })
  metrics.countEvent('UPSTREAM_ERROR', { error: 'closed' })
  const { events } = metrics.take()
  assert.ok(events.length <= 202, String(events.length))
  assert.equal(
    events.reduce((sum, { count }) => sum + count, 0),
    1_001,
  )
  assert.deepEqual(events.at(-1), { event: 'UPSTREAM_ERROR', detail: '', count: 1 })
})

test('a line that stands for many connections counts for as many, by limit', () => {
  const metrics = new TrafficMetrics()
  for (const count of [1, 41])
    metrics.countEvent('CONNECTION_LIMIT', { limit: 'connections_per_client', count })
  metrics.countEvent('CONNECTION_LIMIT', { limit: 'connections_per_worker', count: 1 })
  assert.deepEqual(metrics.take().events, [
    { event: 'CONNECTION_LIMIT', detail: 'connections_per_client', count: 42 },
    { event: 'CONNECTION_LIMIT', detail: 'connections_per_worker', count: 1 },
  ])
})
