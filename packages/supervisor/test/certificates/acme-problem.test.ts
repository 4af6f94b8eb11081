// What a CA says is kept and understood, whatever it says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { AcmeResponse } from '../../src/certificates/acme-client/transport/response.ts'
import { connectionHint, hintFor } from '../../src/certificates/acme-client/transport/response.ts'
import { poll } from '../../src/certificates/acme-client/polling.ts'
import {
  AcmeError,
  describeProblem,
  parseProblem,
  parseRetryAfter,
} from '../../src/certificates/acme-client/transport/problem.ts'

const NOW_MS = Date.UTC(2026, 0, 1)
const signal = new AbortController().signal
/** Pauses pass at once. */
const clock = { timerMs: () => 0, sleep: async () => {} }

test('Retry-After: seconds and dates are understood, anything else is as if it were not there', () => {
  const cases: readonly (readonly [string | undefined, number | undefined])[] = [
    ['2', 2_000],
    [' 3600 ', 3_600_000],
    ['2246400', 2_246_400_000],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ]
  for (const [header, expectedMs] of cases)
    assert.equal(parseRetryAfter(header, NOW_MS), expectedMs, String(header))
})

test('a problem document names the identifiers that it blames, those of its subproblems too', () => {
  const document = {
    type: 'urn:ietf:params:acme:error:rejectedIdentifier',
    detail: 'not these',
    subproblems: [
      {
        type: 'urn:ietf:params:acme:error:caa',
        detail: 'forbidden',
        identifier: { type: 'dns', value: 'A.example' },
      },
      { type: 'urn:ietf:params:acme:error:dns', identifier: { type: 'dns', value: 'b.example' } },
      'nonsense',
    ],
  }
  const error = new AcmeError('refused', { document, reachedCa: true })
  assert.deepEqual(error.failedNames, ['a.example', 'b.example'])
  assert.deepEqual(JSON.parse(error.document ?? ''), document)
  assert.ok(error.problem)
  assert.equal(
    describeProblem(error.problem),
    'rejectedIdentifier: not these; a.example: caa: forbidden; b.example: dns: ',
  )
})

test('no document, however odd, makes the parser throw', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (document) => {
      const error = new AcmeError('refused', { document, reachedCa: true })
      assert.ok(Array.isArray(error.failedNames))
      const problem = parseProblem(document)
      if (problem !== undefined) assert.equal(typeof describeProblem(problem), 'string')
    }),
  )
})

function reply(data: unknown, retryAfterMs?: number): AcmeResponse {
  return { data, location: undefined, retryAfterMs, alternateUrls: [], dateMs: undefined }
}

test('polling ends at the first final state, and outlives answers that make no sense', async () => {
  const lost = new AcmeError('lost', { reachedCa: true, retryAfterMs: 0 })
  const answers = [
    reply({ status: 'pending' }, 0),
    lost,
    reply('<html>', 0),
    reply({ status: 'valid', n: 1 }),
  ]
  const look = async (): Promise<AcmeResponse> => {
    const next = answers.shift()
    if (next === undefined || next instanceof AcmeError) throw next
    return next
  }
  const state = await poll({ look, isFinal: (status) => status === 'valid', limitMs: 60_000, clock, signal })
  assert.deepEqual(state, { status: 'valid', resource: { status: 'valid', n: 1 } })
})

test('polling gives up when the time it was given is shorter than the wait it is asked for', async () => {
  const state = await poll({
    look: async () => reply({ status: 'processing' }, 3_600_000),
    isFinal: (status) => status === 'valid',
    limitMs: 50_000,
    clock,
    signal,
  })
  assert.equal(state, undefined)
})

test('polling passes on what goes wrong again and again', async () => {
  let looks = 0
  const look = async (): Promise<AcmeResponse> => {
    looks++
    throw new AcmeError('down', { reachedCa: false, retryAfterMs: 0 })
  }
  await assert.rejects(poll({ look, isFinal: () => true, limitMs: 60_000, clock, signal }), /down/u)
  assert.equal(looks, 4)
})

test('hints: for what is known, and for nothing that a CA may make up', () => {
  const problem = { detail: '', identifier: undefined, subproblems: [] }
  assert.match(hintFor({ ...problem, type: 'caa' }) ?? '', /CAA record/u)
  for (const type of ['', 'constructor', '__proto__', 'toString'])
    assert.equal(hintFor({ ...problem, type }), undefined)
  assert.match(connectionHint('CERT_HAS_EXPIRED'), /clock right/u)
  assert.match(connectionHint('SELF_SIGNED_CERT_IN_CHAIN'), /tls\.acme_ca_file/u)
  assert.match(connectionHint('ECONNREFUSED'), /firewall/u)
})
