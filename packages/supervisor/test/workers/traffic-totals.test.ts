import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptySiteCounts } from '@reverse-proxy/shared/traffic-counts'
import { TrafficTotals } from '../../src/workers/traffic-totals.ts'

test('the book has an end: of kinds of events, and of sites that are configured no longer', () => {
  const book = new TrafficTotals()
  for (let worker = 0; worker < 100; worker++) {
    const events = Array.from({ length: 100 }, (_, kind) => ({
      event: 'tls_failed' as const,
      detail: `${worker}-${kind}`,
      count: 2,
    }))
    book.add({ sites: [emptySiteCounts(''), emptySiteCounts(`${worker}.test`)], events })
  }
  assert.ok(book.events.length <= 1_001, String(book.events.length))
  assert.equal(
    book.events.reduce((sum, { count }) => sum + count, 0),
    20_000,
    'none is lost',
  )

  const site = {
    action: { kind: 'respond', status: 200, body: '', contentType: 'text/plain' },
    bodyLimitBytes: 1,
    routes: [],
    requestHeaders: [],
    responseHeaders: [],
  } as const
  book.keepSites([{ sites: [{ ...site, hosts: ['7.test', '8.test'], rateLimit: undefined }] }])
  assert.deepEqual(
    book.sites.map(({ site: host }) => host),
    ['', '7.test'],
  )
})
