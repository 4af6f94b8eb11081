// Conversations over HTTP/1 by the thousand, in memory: no request that nobody made, none that was changed, no crash, and
// every response where it belongs. What goes up is read by a reader that tolerates nothing.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IS_FULL } from '../../../../test/harness/size.ts'
import { Chance } from '../fuzz/chance.ts'
import { idOf } from '../fuzz/fate.ts'
import { judgeConversation } from '../fuzz/http1-conversation.ts'
import { makeConversation } from '../fuzz/http1-grammar.ts'
import { readStrict, type StrictRequest } from '../fuzz/strict-requests.ts'
import { serveOwn, type Answer } from '../support/http1-wire.ts'

const REQUESTS = IS_FULL ? 2_000_000 : 20_000
const SEED = 31_337
const LONGEST_PIECE = 400
const SERVED_HOST = /^a\.example(?::8443)?$/iu

const MAX_GROWTH_BYTES = 64 * 1024 * 1024

test(
  `HTTP/1: ${REQUESTS} requests in conversations, in pieces: each is what it was meant to be`,
  { timeout: 3_000_000 },
  async (t) => {
    let made = 0
    let reached = 0
    let before = 0
    for (let conversation = 0; made < REQUESTS; conversation++) {
      const chance = new Chance(SEED + conversation)
      const arrived = new Map<number, StrictRequest[]>()
      const answer: Answer = (sent, exchange) => {
        const request = readStrict(sent)
        assert.ok(request !== undefined && request.bytes === sent.length, sent)
        const id = idOf(request.path)
        assert.ok(id !== undefined, `a request that nobody made: ${sent}`)
        const isServed = SERVED_HOST.test(exchange.request.authority)
        if (isServed) arrived.set(id, [...(arrived.get(id) ?? []), request])
        const body = Buffer.from(String(id))
        const headers = isServed ? ['x-id', String(id)] : []
        const isHead = request.method === 'HEAD'
        // Chunks, or a length; after a turn, or at once.
        const contentLength = isHead ? '0' : id % 2 === 0 ? undefined : String(body.length)
        const respond = (): void => {
          exchange.respond({ status: 200, reason: '', headers, contentLength })
          if (isHead) exchange.end([])
          else exchange.endWith(body)
        }
        if (id % 3 === 0) setImmediate(respond)
        else respond()
      }
      let id = 0
      const requests = makeConversation(chance, () => (id += 1))
      made += requests.length
      const text = requests.map(({ bytes }) => bytes).join('')
      const pieces = chance.percent(50) ? [text] : chance.pieces(text, LONGEST_PIECE)
      const { seen } = await serveOwn(
        pieces.map((piece) => Buffer.from(piece, 'latin1')),
        answer,
      )
      const findings = judgeConversation(requests, seen, { arrived })
      assert.deepEqual(findings, [], `conversation ${conversation}: ${JSON.stringify(text)}`)
      reached += arrived.size
      if (conversation === 1_000) before = process.memoryUsage.rss()
    }
    t.diagnostic(`${made} requests, ${reached} were served`)
    assert.ok(reached > made * 0.25)
    assert.ok(process.memoryUsage.rss() - before < MAX_GROWTH_BYTES)
  },
)
