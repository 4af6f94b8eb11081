// The fault proxy breaks off as it is told: silence, floods, resets and refused connections, as a client
// meets them, with the CA well again afterwards.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import https from 'node:https'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import type { AcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { startAcmeFaultProxy } from '../harness/acme/fault-proxy.ts'
import { asContentType, drip, loseAnswer, truncate } from '../harness/acme/alterations.ts'
import { flood, hang, html, reset, serverError } from '../harness/acme/answers.ts'
import type { Behaviour } from '../harness/acme/exchange.ts'
import { startPebble } from '../harness/acme/pebble.ts'
import { waitFor } from '../harness/wait.ts'

const TEST = { timeout: 120_000 }

describe('ACME fault proxy: a CA that breaks', () => {
  const cases: readonly (readonly [fault: string, answer: Behaviour, outcome: RegExp])[] = [
    ['500', serverError(), /^500 text\/plain 0$/u],
    ['a page', html(), /^200 text\/html \d+$/u],
    ['a content type', asContentType('image/png'), /^200 image\/png \d{3}$/u],
    ['half a body', truncate(), /^ECONNRESET$/u],
    ['a reset', reset(), /^ECONNRESET$/u],
    ['a lost answer', loseAnswer(), /^ECONNRESET$/u],
    ['silence', hang(), /^ABORT_ERR$/u],
    ['a byte a second', drip(), /^ABORT_ERR$/u],
  ]
  for (const [fault, answer, outcome] of cases) {
    it(`${fault}: reaches the client once, then the CA is well`, TEST, async (t) => {
      const ca = await startAcmeFaultProxy(t, await startPebble(t))
      ca.inject({ on: 'directory', answer, times: 1 })
      assert.match(await outcomeOf(ca, 1000), outcome)
      assert.match(await outcomeOf(ca), /^200 application\/json/u)
      assert.deepEqual(
        ca.requests.map(({ error }) => error),
        [undefined, undefined],
      )
    })
  }

  it('a gigabyte: streamed, and only as far as the client goes along', TEST, async (t) => {
    const ca = await startAcmeFaultProxy(t, await startPebble(t))
    ca.inject({ on: 'directory', answer: flood() })
    const sent = https.get(ca.directoryUrl, { ca: await readFile(ca.caFile), agent: false })
    sent.on('error', () => {})
    sent.on('response', (response) => {
      response.once('data', () => response.destroy())
    })
    const sentBytes = await waitFor(
      'the proxy stops sending',
      () => (ca.requests[0]?.sentBytes ?? 0) > 0 && ca.requests[0]?.sentBytes,
    )
    assert.ok(sentBytes > 60_000 && sentBytes < 100_000_000, String(sentBytes))

    ca.inject({ on: 'newNonce', answer: flood(3_000_000) })
    assert.equal(await outcomeOf(ca, 20_000, '/nonce-plz'), '200 application/json 3014656')
  })

  it('down: connections are refused, those there are end; up again on the same port', TEST, async (t) => {
    const ca = await startAcmeFaultProxy(t, await startPebble(t))
    ca.inject({ on: 'directory', answer: hang(), times: 1 })
    const hanging = outcomeOf(ca)
    await waitFor('the request is in', () => ca.requests.length === 1)
    await ca.down()
    assert.equal(await hanging, 'ECONNRESET')
    assert.equal(await outcomeOf(ca), 'ECONNREFUSED')
    await ca.down()
    await ca.up()
    assert.match(await outcomeOf(ca), /^200/u)
  })

  it('Pebble gone: the connection ends, and the record says why', TEST, async (t) => {
    const pebble = await startPebble(t)
    const ca = await startAcmeFaultProxy(t, pebble)
    await pebble.kill()
    assert.equal(await outcomeOf(ca), 'ECONNRESET')
    assert.match(String(ca.requests[0]?.error), /ECONNREFUSED/u)
    await pebble.start()
    assert.match(await outcomeOf(ca), /^200/u)
  })
})

/** `status type length`, or the code of the error. */
async function outcomeOf(ca: AcmeFaultProxy, timeoutMs = 20_000, path = '/dir'): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const onError = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message)
  https
    .get(new URL(path, ca.directoryUrl), {
      ca: await readFile(ca.caFile),
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
    })
    .on('error', onError)
    .on('response', (response) => {
      const { statusCode, headers } = response
      buffer(response).then(
        ({ length }) => resolve(`${statusCode} ${headers['content-type']} ${length}`),
        onError,
      )
    })
  return await promise
}
