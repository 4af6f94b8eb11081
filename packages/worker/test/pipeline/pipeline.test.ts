// The order of the stages: each runs once for every request, also behind a stage that waits; and the one way out.
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { BodySource } from '../../src/protocol/body.ts'
import {
  Exchange,
  type ResponseHead,
  type ResponseFilter,
  type ServedRoute,
} from '../../src/protocol/exchange.ts'
import { sendText } from '../../src/protocol/error-response.ts'
import { WriteTimeouts } from '../../src/protocol/write-timeouts.ts'
import { ADMITTED } from '../../src/ratelimit/limiter.ts'
import { TrafficMetrics } from '../../src/observability/metrics.ts'
import { Pipeline } from '../../src/pipeline/pipeline.ts'
import { DONE, NEXT, type Stage } from '../../src/pipeline/stage.ts'
import { DispatchStage } from '../../src/pipeline/stages/dispatch.ts'
import { ParseStage } from '../../src/pipeline/stages/parse.ts'
import { RateLimitStage } from '../../src/pipeline/stages/rate-limit.ts'
import { recordingLog } from '../support/front.ts'
import { ScriptedLimiter } from '../support/scripted-limiter.ts'
import { LIMITS, siteOf } from '../support/site-server.ts'

const SITE: ServedRoute = {
  siteName: 'a.example',
  settings: siteOf(1),
  filters: [],
  handler: { handle: (exchange) => sendText(exchange, 204) },
}

/** A request whose response is kept instead of being sent. */
class RecordedExchange extends Exchange {
  readonly responses: ResponseHead[] = []
  readonly isRequestComplete = true
  readonly canAnnounceTrailers = false

  constructor() {
    super(
      {
        protocol: 'http/1.1',
        method: 'GET',
        target: '/',
        authority: undefined,
        scheme: undefined,
        rawHeaders: ['Host', 'a.example'],
        endsWithHead: false,
        upgrade: false,
      },
      {
        client: { ip: '192.0.2.1', key: '192.0.2.1', scheme: 'https' },
        socket: new Socket(),
        certificate: undefined,
        clientCertificate: undefined,
      },
      {
        accessLog: { request: () => {}, upstreamError: () => {}, upstreamRetried: () => {} },
        stalls: new WriteTimeouts(
          () => LIMITS.bodyStallTimeoutMs,
          () => 0,
          recordingLog([]),
          new TrafficMetrics(),
        ),
        nowMs: () => 0,
      },
    )
  }

  protected override writeHead(head: ResponseHead): void {
    this.status = head.status
    this.responses.push(head)
  }

  get body(): BodySource {
    throw new TypeError('a GET has no body')
  }

  override isHeldUp(): boolean {
    return false
  }

  leave(): void {
    this.over()
  }

  onStalled(): void {}
  inform(): void {}
  write(): boolean {
    return true
  }

  end(): void {}
  endWith(): void {}
  truncate(): void {}
  closeAfterwards(): void {}
}

function fail(): never {
  throw new ProxyError('UPSTREAM_CONNECT', 'refused')
}

/** Stands for a stage that is added between the rate limit and the handler, such as authentication. */
function recordingStage(seen: Exchange[]): Stage {
  return {
    run: (exchange) => {
      seen.push(exchange)
      return NEXT
    },
  }
}

function pipelineOf(limiter: ScriptedLimiter, behind: readonly Stage[]): Pipeline {
  const log = recordingLog([])
  const toSite: Stage = {
    run: (exchange) => {
      exchange.route = SITE
      return NEXT
    },
  }
  const pipeline: Pipeline = new Pipeline(
    [
      new ParseStage(() => LIMITS),
      toSite,
      new RateLimitStage(limiter, log, new TrafficMetrics(), (exchange) => pipeline.resume(exchange)),
      ...behind,
      new DispatchStage(),
    ],
    log,
  )
  return pipeline
}

test('a stage behind one that waits runs for every request, once', () => {
  const limiter = new ScriptedLimiter()
  const seen: Exchange[] = []
  const pipeline = pipelineOf(limiter, [recordingStage(seen)])
  const exchanges = Array.from({ length: 10 }, () => new RecordedExchange())
  for (const [index, exchange] of exchanges.entries()) {
    limiter.verdict = index % 2 === 0 ? undefined : ADMITTED
    pipeline.run(exchange)
  }
  assert.equal(seen.length, 5)
  for (const waiter of limiter.waiters) waiter.onRateDecision(ADMITTED)
  assert.deepEqual(new Set(seen), new Set(exchanges))
  assert.equal(seen.length, 10)
  for (const { responses } of exchanges)
    assert.deepEqual(
      responses.map(({ status }) => status),
      [204],
    )
})

test('a stage that refuses a request which had to wait: nothing behind it runs', () => {
  const limiter = new ScriptedLimiter()
  const seen: Exchange[] = []
  const refuse: Stage = {
    run: () => {
      throw new ProxyError('METHOD_NOT_ALLOWED', 'refused by the test')
    },
  }
  const pipeline = pipelineOf(limiter, [refuse, recordingStage(seen)])
  for (const verdict of [undefined, ADMITTED]) {
    limiter.verdict = verdict
    const exchange = new RecordedExchange()
    pipeline.run(exchange)
    for (const waiter of limiter.waiters.splice(0)) waiter.onRateDecision(ADMITTED)
    assert.deepEqual(
      exchange.responses.map(({ status }) => status),
      [405],
    )
  }
  assert.deepEqual(seen, [])
})

test('a request whose client has left while it waited runs no further stage', () => {
  const limiter = new ScriptedLimiter()
  const seen: Exchange[] = []
  const pipeline = pipelineOf(limiter, [recordingStage(seen)])
  limiter.verdict = undefined
  const exchange = new RecordedExchange()
  pipeline.run(exchange)
  exchange.leave()
  for (const waiter of limiter.waiters) waiter.onRateDecision(ADMITTED)
  assert.deepEqual(seen, [])
})

test('a filter of the site sees every response of it, an error of the proxy too, and none of other sites', () => {
  const filters: ResponseFilter[] = [{ onHead: (_, { headers }) => void headers.push('x-filter', '1') }]
  const headersOf = (site: ServedRoute | undefined, handle: (exchange: Exchange) => void) => {
    const exchange = new RecordedExchange()
    exchange.route = site && { ...site, filters }
    new Pipeline([{ run: (each) => (handle(each), DONE) }], recordingLog([])).run(exchange)
    return exchange.responses[0]?.headers
  }
  assert.deepEqual(
    headersOf(SITE, (exchange) => SITE.handler.handle(exchange)),
    ['content-type', 'text/plain', 'x-filter', '1'],
  )
  assert.deepEqual(headersOf(SITE, fail), ['content-type', 'text/plain', 'x-filter', '1'])
  assert.deepEqual(headersOf(undefined, fail), ['content-type', 'text/plain'])
})
