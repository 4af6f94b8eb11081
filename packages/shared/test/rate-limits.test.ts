import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Site } from '../src/config/config.ts'
import {
  bucketKey,
  parseBucketKey,
  rateLimitOf,
  rateLimitsOf,
  rateScopeOf,
  sameRateLimits,
} from '../src/rate-limit/rate-limits.ts'

const general = { requestsPerSecond: 10, burst: 20 }
const strict = { requestsPerSecond: 1, burst: 2, scope: '*.b.example' }

function site(host: string, rateLimit: Site['rateLimit']): Site {
  return {
    hosts: [host],
    routes: [],
    action: { kind: 'respond', status: 200, body: '', contentType: 'text/plain' },
    bodyLimitBytes: 1,
    rateLimit,
    requestHeaders: [],
    responseHeaders: [],
  }
}

const ordinary = site('a.example', undefined)
const limited = site('*.b.example', strict)
const limits = rateLimitsOf({ rateLimit: general, listeners: [{ sites: [ordinary] }, { sites: [limited] }] })

test('a site with a limit of its own is a scope of its own, all others share the general one', () => {
  assert.equal(rateLimitOf(limits, rateScopeOf(ordinary)), general)
  assert.equal(rateLimitOf(limits, rateScopeOf(limited)), strict)
  assert.equal(rateLimitOf(limits, 'removed.example'), general)
})

test('a bucket key is read back as it was written', () => {
  for (const client of ['203.0.113.5', '2001:db8:0:1::/64']) {
    for (const scope of [rateScopeOf(ordinary), rateScopeOf(limited)]) {
      assert.deepEqual(parseBucketKey(bucketKey(scope, client)), { scope, client })
    }
  }
})

test('limits are the same when every number is', () => {
  const again = { general: { ...general }, sites: new Map([['*.b.example', { ...strict }]]) }
  assert.equal(sameRateLimits(limits, again), true)
  assert.equal(sameRateLimits(limits, { ...again, general: strict }), false)
  assert.equal(sameRateLimits(limits, { ...again, sites: new Map([['*.b.example', general]]) }), false)
  assert.equal(sameRateLimits(limits, { ...again, sites: new Map([['c.example', strict]]) }), false)
  assert.equal(sameRateLimits(limits, { ...again, sites: new Map() }), false)
})
