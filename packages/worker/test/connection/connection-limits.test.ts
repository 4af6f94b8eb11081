import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ConnectionLimits } from '../../src/connection/connection-limits.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { ConnectionLimitLog } from '../../src/connection/connection-limit-log.ts'
import type { Logged } from '../support/front.ts'
import { recordingLog } from '../support/front.ts'

test('neither a client nor the worker ever has more than its limit, and all is given back', () => {
  const step = fc.record({ client: fc.constantFrom('a', 'b', 'c'), opens: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 4 }),
      (steps, connectionsPerWorker, connectionsPerClient) => {
        const limits = new ConnectionLimits({ connectionsPerWorker, connectionsPerClient })
        const open: string[] = []
        for (const { client, opens } of steps) {
          const ofClient = open.filter((each) => each === client).length
          if (opens) {
            const workerIsFull = open.length >= connectionsPerWorker
            const refusal = limits.admit(client)
            if (refusal === undefined) open.push(client)
            if (ofClient >= connectionsPerClient) assert.equal(refusal, 'connections_per_client')
            else assert.equal(refusal, workerIsFull ? 'connections_per_worker' : undefined)
          } else if (ofClient > 0) {
            limits.release(client)
            open.splice(open.indexOf(client), 1)
          }
          assert.equal(limits.open, open.length)
        }
      },
    ),
  )
})

test('new limits hold for the next connection; those above them stay', () => {
  const limits = new ConnectionLimits({ connectionsPerWorker: 3, connectionsPerClient: 3 })
  for (let i = 0; i < 3; i++) assert.equal(limits.admit('a'), undefined)
  limits.configure({ connectionsPerWorker: 3, connectionsPerClient: 1 })
  assert.equal(limits.open, 3)
  limits.release('a')
  assert.equal(limits.admit('a'), 'connections_per_client')
  assert.equal(limits.admit('b'), undefined)
  assert.equal(limits.admit('c'), 'connections_per_worker')
})

test('refused connections: a line at once, then one a second with a count; the hundredth client shares one', () => {
  const logged: Logged[] = []
  let due: (() => void)[] = []
  const timers = {
    nowMs: () => 0,
    soon: () => {},
    after: (delayMs: number, run: () => void) => {
      assert.equal(delayMs, 1_000)
      due.push(run)
      return () => {}
    },
  }
  const pass = (): void => {
    const now = due
    due = []
    for (const run of now) run()
  }
  const metrics = new TrafficMetrics()
  const refusals = new ConnectionLimitLog(recordingLog(logged), metrics, timers)
  for (let i = 0; i < 50; i++) refusals.add('2001:db8:0:1::/64', '2001:db8:0:1::7', 'connections_per_client')
  const line = { level: 'warn', event: 'CONNECTION_LIMIT', limit: 'connections_per_client' }
  assert.deepEqual(logged, [{ ...line, client_ip: '2001:db8:0:1::7', count: 1 }])
  pass()
  assert.deepEqual(logged[1], { ...line, client_ip: '2001:db8:0:1::7', count: 49 })
  pass()
  assert.equal(due.length, 0)

  logged.length = 0
  for (let i = 0; i < 1_000; i++) refusals.add(`10.0.0.${i}`, `10.0.0.${i}`, 'connections_per_client')
  assert.equal(logged.length, 100)
  pass()
  assert.deepEqual(logged.slice(100), [{ ...line, client_ip: undefined, count: 900 }])
  assert.deepEqual(metrics.take().events, [
    { event: 'connection_refused', detail: 'connections_per_client', count: 1_050 },
  ])
})
