// The rate limit as a client meets it: one bucket over all workers, protocols and ports, exact also while limits
// change, workers are replaced or killed, and the supervisor says nothing.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as elapse } from 'node:timers/promises'
import { askAdmin } from '../../harness/admin.ts'
import type { Outcome } from '../../harness/clients/crowd.ts'
import { Crowd } from '../../harness/clients/crowd.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import type { BucketState } from '@reverse-proxy/shared/rate-limit/token-bucket'
import { take } from '@reverse-proxy/shared/rate-limit/token-bucket'
import type { Answer } from '../../harness/clients/request.ts'
import { request, request2, requestPlain } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { waitFor } from '../../harness/wait.ts'

const WORKERS = 4
const CONNECTIONS = 60
const THINK_MS = 25
const PHASE_MS = 1_500
/** Within this a worker that is answered again has reported what it admitted alone. */
const REPORT_MS = 1_000

interface Limit {
  readonly requests_per_second: number
  readonly burst: number
}

async function startOrigin(t: TestContext): Promise<HttpOrigin> {
  return await HttpOrigin.start(t, (_request, response) => response.end('ok'))
}

/** What began and ended in that time. */
function admittedIn(outcomes: readonly Outcome[], fromMs: number, untilMs: number): number {
  return outcomes.filter(
    ({ sentMs, doneMs, status }) => status === 200 && sentMs >= fromMs && doneMs <= untilMs,
  ).length
}

/** How many of these requests one bucket would have admitted, had it been asked when they were answered. */
function entitledIn(
  outcomes: readonly Outcome[],
  fromMs: number,
  untilMs: number,
  { requests_per_second: requestsPerSecond, burst }: Limit,
  tokens: number,
): number {
  const limit = { requestsPerSecond, burst }
  let bucket: BucketState = { tokens, leased: 0, atMs: fromMs }
  let count = 0
  for (const { sentMs, doneMs } of outcomes.toSorted((a, b) => a.doneMs - b.doneMs)) {
    if (sentMs < fromMs || doneMs > untilMs) continue
    const taking = take(bucket, limit, doneMs, 1)
    bucket = taking.bucket
    if (taking.admitted) count += 1
  }
  return count
}

function due({ requests_per_second: rate }: Limit, fromMs: number, untilMs: number): number {
  return (rate * (untilMs - fromMs)) / 1000
}

test(
  'rate limit: one client on 60 connections over 4 workers gets burst + rate * t and no more, also when a reload changes them',
  { timeout: 60_000 },
  async (t) => {
    const origin = await startOrigin(t)
    const before: Limit = { requests_per_second: 120, burst: 90 }
    const after: Limit = { requests_per_second: 240, burst: 40 }
    const { proxy, target } = await serveSite(t, {
      upstream: origin.upstream,
      config: { workers: WORKERS, rate_limit: before },
    })

    const client = await Crowd.connect(target, CONNECTIONS, THINK_MS)
    const startMs = performance.now()
    client.start()
    await elapse(PHASE_MS)
    const signalledMs = performance.now()
    const config = readFileSync(proxy.configPath, 'utf8')
    const changed = config
      .replace(
        `requests_per_second = ${before.requests_per_second}`,
        `requests_per_second = ${after.requests_per_second}`,
      )
      .replace(`burst = ${before.burst}`, `burst = ${after.burst}`)
    assert.notEqual(changed, config)
    writeFileSync(proxy.configPath, changed)
    const reloaded = await askAdmin(join(proxy.directory, 'admin.sock'), 'reload')
    assert.deepEqual([reloaded.status, reloaded.workers], ['ok', 'kept'])
    const reloadedMs = performance.now()
    await elapse(PHASE_MS)
    await client.stop()
    const endMs = performance.now()

    const { outcomes } = client
    const first = admittedIn(outcomes, startMs, signalledMs)
    const firstEntitled = entitledIn(outcomes, startMs, signalledMs, before, before.burst)
    const last = admittedIn(outcomes, reloadedMs, endMs)
    const lastEntitled = entitledIn(outcomes, reloadedMs, endMs, after, 0)
    const all = admittedIn(outcomes, startMs, endMs)
    // On a machine that stands still for 250 ms a worker may have had to decide alone.
    const silences = proxy.stdout.text.split(' RATE_LIMIT_LOCAL ').length - 1
    const alone = (silences * before.burst) / WORKERS
    const firstAllowed = before.burst + due(before, startMs, signalledMs) + alone
    const lastAllowed = after.burst + due(after, reloadedMs, endMs) + alone
    const allowed = firstAllowed + due(after, signalledMs, endMs)
    t.diagnostic(`${outcomes.length} requests; in all ${all} admitted, at most ${allowed.toFixed(1)} allowed`)
    t.diagnostic(`before the reload ${first} of ${firstEntitled}, allowed ${firstAllowed.toFixed(1)}`)
    t.diagnostic(`after it ${last} of ${lastEntitled}, allowed ${lastAllowed.toFixed(1)}`)
    assert.ok(outcomes.length > 1.2 * allowed, `only ${outcomes.length} requests`)
    assert.ok(first <= firstAllowed, `first ${first} of ${firstAllowed}`)
    assert.ok(first >= 0.9 * firstEntitled, `first only ${first} of ${firstEntitled}`)
    assert.ok(last <= lastAllowed, `then ${last} of ${lastAllowed}`)
    assert.ok(last >= 0.9 * lastEntitled, `then only ${last} of ${lastEntitled}`)
    assert.ok(all <= allowed, `${all} of ${allowed}`)
    // The upstream has seen those and no others.
    assert.equal(origin.requests.length, all)
    const refusals = outcomes.filter(({ status }) => status === 429)
    const refused = refusals.length
    for (const { head } of refusals) assert.match(head, /\r\nretry-after: [1-9]\d*\r\n/)
    assert.equal(refused + all, outcomes.length)
    const line = / WARN RATE_LIMIT client_ip=127\.0\.0\.1 host=site\.test path=\/ status=429$/
    await waitFor(
      'a line for each refused request',
      () => proxy.stdout.text.split('\n').filter((each) => line.test(each)).length === refused,
    )
  },
)

test('rate limit: a site with its own has one bucket over HTTP/1.1, HTTP/2 and the redirect port', async (t) => {
  const origin = await startOrigin(t)
  const { target, httpPort, proxy } = await serveSite(t, {
    upstream: origin.upstream,
    site: { rate_limit: { requests_per_second: 0.001, burst: 3 } },
    config: { rate_limit: { requests_per_second: 0.001, burst: 1 } },
  })
  const plain = { host: HOST, port: httpPort }
  const ways: readonly (() => Promise<Answer>)[] = [
    async () => await request(target),
    async () => await request2(target),
    async () => await requestPlain(plain),
  ]
  const statuses = []
  for (const way of [...ways, ...ways]) statuses.push((await way()).status)
  assert.deepEqual(statuses, [200, 200, 301, 429, 429, 429])

  // What was leased to a worker that dies is gone.
  for (const pid of proxy.workerPids()) process.kill(pid, 'SIGKILL')
  const readyLines = (): number => proxy.stdout.text.split(' INFO WORKER_READY ').length - 1
  await waitFor('both workers to be there again', () => readyLines() === 4)
  const answer = await request(target)
  assert.equal(answer.status, 429)
  // Three tokens at most are missing of three, and one takes 1,000 s.
  const retryAfterSecs = Number(answer.headers['retry-after'])
  assert.ok(retryAfterSecs > 900 && retryAfterSecs <= 1_000, `${retryAfterSecs}`)
})

test('rate limit: while the supervisor says nothing each worker decides by its part, and then it counts', async (t) => {
  const origin = await startOrigin(t)
  const { target, proxy } = await serveSite(t, {
    upstream: origin.upstream,
    config: { workers: 2, rate_limit: { requests_per_second: 0.001, burst: 10 } },
  })
  const ask = async (): Promise<number> => (await request(target)).status
  assert.equal(await ask(), 200)
  proxy.signal('SIGSTOP')
  const statuses: number[] = []
  try {
    // Until the parts of both are used up, whichever of them accepts more often.
    await waitFor(
      'both workers to refuse',
      async () => {
        statuses.push(...(await Promise.all([ask(), ask(), ask(), ask()])))
        return statuses.filter((status) => status === 429).length >= 20
      },
      20_000,
    )
  } finally {
    proxy.signal('SIGCONT')
  }
  const admitted = statuses.filter((status) => status === 200).length
  assert.ok(admitted >= 5 && admitted <= 10, `${admitted} admitted`)
  assert.ok(statuses.every((status) => status === 200 || status === 429))
  await proxy.stdout.waitForLine(/ WARN RATE_LIMIT_LOCAL worker=\d/)
  // What was admitted meanwhile is taken from the bucket once both have reported it, which is not to be seen.
  await elapse(REPORT_MS)
  const rest: number[] = []
  await waitFor('the bucket to be empty', async () => {
    rest.push(await ask())
    return rest.at(-1) === 429 && rest.at(-2) === 429
  })
  const afterwards = rest.filter((status) => status === 200).length
  assert.ok(1 + admitted + afterwards <= 11, `${admitted} and then ${afterwards}`)
})
