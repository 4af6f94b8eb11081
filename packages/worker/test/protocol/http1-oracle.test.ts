// Our HTTP/1 server beside the runtime's, with the same bytes: every difference is one of these, with its reason.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IS_FULL } from '../../../../test/harness/size.ts'
import { Chance } from '../fuzz/chance.ts'
import { makeConversation } from '../fuzz/http1-grammar.ts'
import { readStrict } from '../fuzz/strict-requests.ts'
import { http1Inputs } from '../support/http1-inputs.ts'
import { serveOwn, serveRuntime, summaryOf, type Outcome } from '../support/http1-wire.ts'

const CONVERSATIONS = IS_FULL ? 100_000 : 1_500
const SEED = 20_261_201

/** Why ours reads more than the runtime: each is a rule of the RFC, or a choice that it leaves. */
const MORE: readonly (readonly [reason: string, sign: RegExp])[] = [
  [
    'a method is any token (RFC 9110 9.1)',
    /(?:^|\n)(?:LIST|baseline-control|VERSION-CONTROL|get|a!#\$%&'\*\+-\.\^_`\|~9) +\//u,
  ],
  ['a higher minor version is read as 1.1 (RFC 9110 2.5)', / HTTP\/1\.[2-9]\r\n/u],
  ['white space round the signs of a chunk extension (RFC 9112 7.1.1)', /\n[0-9a-f]+ ;/u],
  ['white space behind a field value is no part of it (RFC 9112 5.1)', /chunked\t\r\n/u],
  [
    'what comes behind a request that ends its connection is not looked at',
    /Connection: close|HTTP\/1\.0|Upgrade: h2c/u,
  ],
  ['garbage behind a complete request does not take its response', /\u0001zz|nonsense|\u0000|hello|HTTP/u],
]
/** Why ours reads less: it refuses the host, the target, the expectation or the number of fields, or what LF alone ends. */
const REFUSED = /HTTP\/1\.1 (?:400|405|417|426|431) [^\r]*\r\n(?:[^\r]+\r\n)*connection: close\r\n/iu
/** Or the response to an expectation that was never met with a 100. */
const UNCERTAIN = /\nExpect: /iu

function requestsOf({ sent }: Outcome): string[] {
  return sent.map((text) => {
    const request = readStrict(text)
    assert.ok(request !== undefined, text)
    return summaryOf(request.method, request.path, request.body)
  })
}

/** A target in absolute-form goes up in origin-form. */
function inOriginForm(summary: string): string {
  return summary.replace(/^(\S+) https?:\/\/a\.example(?=\/)/iu, '$1 ')
}

function explain(
  bytes: string,
  seen: string,
  own: readonly string[],
  runtime: readonly string[],
): string | undefined {
  let same = 0
  while (same < own.length && own[same] === runtime[same]) same += 1
  if (same === own.length && same === runtime.length) return 'the same'
  // Either may stop where the other goes on; where both go on, it is with the same request.
  if (same < own.length && same < runtime.length) return undefined
  if (own.length > runtime.length) return MORE.find(([, sign]) => sign.test(bytes))?.[0]
  if (REFUSED.test(seen)) return 'refused by the pipeline'
  return UNCERTAIN.test(bytes) ? 'no 100 was sent' : undefined
}

async function compare(name: string, bytes: string, found: Map<string, number>): Promise<void> {
  const piece = [Buffer.from(bytes, 'latin1')]
  const outcome = await serveOwn(piece)
  const own = requestsOf(outcome)
  const runtime = (await serveRuntime(piece)).sent.map(inOriginForm)
  const reason = explain(bytes, outcome.seen, own, runtime)
  assert.ok(reason !== undefined, `${name}: ${JSON.stringify({ bytes, own, runtime })}`)
  found.set(reason, (found.get(reason) ?? 0) + 1)
}

test(
  'HTTP/1 beside the runtime: the same requests, but for listed reasons',
  { timeout: 600_000 },
  async (t) => {
    const found = new Map<string, number>()
    for (const { name, bytes } of http1Inputs()) await compare(name, bytes, found)
    for (let i = 0; i < CONVERSATIONS; i++) {
      let id = 0
      const made = makeConversation(new Chance(SEED + i), () => (id += 1))
      await compare(`conversation ${i}`, made.map(({ bytes }) => bytes).join(''), found)
    }
    t.diagnostic(JSON.stringify([...found]))
    assert.ok((found.get('the same') ?? 0) > CONVERSATIONS / 4)
  },
)
