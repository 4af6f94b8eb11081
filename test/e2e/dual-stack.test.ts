// SPEC 3: one listener on an IPv4 and an IPv6 address serves on both.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HttpOrigin, valuesOf } from '../harness/http-origin.ts'
import { request, request2 } from '../harness/request.ts'
import { serveSite } from '../harness/site.ts'

for (const address of ['127.0.0.1', '::1']) {
  test(`dual stack: ${address} serves both protocols, and the upstream learns the client's address`, async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const { target } = await serveSite(t, { upstream: origin.upstream, bindAddr: ['127.0.0.1', '::1'] })
    for (const send of [request, request2]) {
      const answer = await send({ ...target, address })
      assert.equal(answer.status, 200)
      assert.equal(answer.body, 'served')
    }
    assert.equal(origin.requests.length, 2)
    for (const seen of origin.requests) assert.deepEqual(valuesOf(seen, 'x-forwarded-for'), [address])
  })
}
