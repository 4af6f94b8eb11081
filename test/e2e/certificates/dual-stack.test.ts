// One listener on an IPv4 and an IPv6 address serves on both and is proved on both.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { Gate } from '../../harness/gate.ts'
import { HttpOrigin, valuesOf } from '../../harness/http-origin.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { freePort } from '../../harness/ports.ts'
import { Proxy } from '../../harness/proxy.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { serveSite } from '../../harness/site.ts'

const ADDRESSES = ['127.0.0.1', '::1']

for (const address of ADDRESSES) {
  test(`dual stack: ${address} serves both protocols, and the upstream learns the client's address`, async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const { target } = await serveSite(t, { upstream: origin.upstream, bindAddr: ADDRESSES })
    for (const send of [request, request2]) {
      const answer = await send({ ...target, address })
      assert.equal(answer.status, 200)
      assert.equal(answer.body, 'served')
    }
    assert.equal(origin.requests.length, 2)
    for (const seen of origin.requests) assert.deepEqual(valuesOf(seen, 'x-forwarded-for'), [address])
  })
}

test('dual stack: challenges are answered on both addresses', { timeout: 60_000 }, async (t) => {
  const [httpsPort, httpPort] = [await freePort(), await freePort()]
  const pebble = await startPebble(t)
  // The CA finds one name by IPv4; of the other, only the IPv6 address leads anywhere.
  await pebble.setAddresses('four.test', ['127.0.0.1'])
  await pebble.setAddresses('six.test', ['127.0.0.9'], ['::1'])
  const gate = await Gate.start(t, { port: pebble.tlsPort, targetPort: httpsPort, hosts: ADDRESSES })
  const names = ['four.test', 'six.test']
  const proxy = new Proxy(t, {
    listeners: [acmeListener({ ca: pebble, names, bindAddr: ADDRESSES, httpsPort, httpPort })],
  })
  await gate.waitForArrival()
  const results = names.map(async (serverName) => {
    const attempts = ADDRESSES.map(
      async (host) => await handshake({ port: httpsPort, host, serverName, alpn: ['acme-tls/1'] }),
    )
    const seen = await Promise.all(attempts)
    return seen.map((one) => one.result === 'connected' && one.isChallenge)
  })
  // Names are proved one after the other or all at once; one that is being proved is so on both.
  const armed = await Promise.all(results)
  assert.ok(armed.some(([onIpv4]) => onIpv4))
  for (const [onIpv4, onIpv6] of armed) assert.equal(onIpv4, onIpv6)

  gate.open()
  await proxy.ready()
  const shown = ADDRESSES.map(
    async (host) => await handshake({ port: httpsPort, host, serverName: 'six.test' }),
  )
  const [onIpv4, onIpv6] = await Promise.all(shown)
  assert.equal(onIpv4?.result, 'connected')
  assert.deepEqual(onIpv6, onIpv4)
})
