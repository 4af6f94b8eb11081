// "exact over the whole proxy", with the real authority and the real workers' side of it in
// simulated time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { GENERAL_SCOPE } from '@reverse-proxy/shared/rate-limit/rate-limits'
import * as fc from 'fast-check'
import { IS_FULL } from '../../../../test/harness/size.ts'
import { worstExcess } from '../support/envelope.ts'
import { World } from '../support/rate-limit-world.ts'

const TIMEOUT = { timeout: 60_000 }
const RUNS = IS_FULL ? 3_000 : 150
const SITE = 'site.example'
const CLIENTS = ['203.0.113.1', '203.0.113.2', '2001:db8:0:1::/64']

const limit = fc.record({
  requestsPerSecond: fc.oneof(
    fc.double({ min: 0.2, max: 20, noNaN: true }),
    fc.integer({ min: 20, max: 2_000 }),
  ),
  burst: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 8, max: 200 })),
})
const world = fc.record({
  seed: fc.integer({ min: 0, max: 0x7fffffff }),
  workers: fc.integer({ min: 1, max: 5 }),
  delayMs: fc.constantFrom(0, 0.2, 2, 20, 100),
  connections: fc.integer({ min: 1, max: 30 }),
  thinkMs: fc.constantFrom(0.5, 5, 50, 400),
  stalls: fc.boolean(),
  deaths: fc.boolean(),
  /** So few that clients without room share one. */
  maxBuckets: fc.constantFrom(1, 2, 1000),
})

function limitsOf(general: RateLimit, site?: RateLimit): RateLimits {
  return { general, sites: new Map(site === undefined ? [] : [[SITE, site]]) }
}

function newWorld(parameters: { seed: number; workers: number; delayMs: number }, limits: RateLimits): World {
  return new World({ ...parameters, limits })
}

interface Load {
  readonly connections: number
  readonly thinkMs: number
  readonly clients: readonly string[]
  readonly scopes: readonly string[]
  readonly untilMs: number
}

/** Connections that ask, wait for the verdict, think, and ask again; now and then they all fall quiet. */
function startConnections(proxy: World, { connections, thinkMs, clients, scopes, untilMs }: Load): void {
  const { random } = proxy
  let quietUntilMs = 0
  const startOne = (slot: number, client: string, scope: string): void => {
    const ask = (): void => {
      const worker = proxy.workers[slot % proxy.workers.length]
      if (worker === undefined || proxy.nowMs > untilMs) return
      let isAnswered = false
      proxy.request(worker, scope, client, () => {
        isAnswered = true
        if (random() < 0.002) quietUntilMs = proxy.nowMs + random() * 2_500
        const thoughtAtMs = proxy.nowMs + thinkMs * (0.1 + random())
        proxy.at(Math.max(thoughtAtMs, quietUntilMs * (1 - random() * 0.01)), ask)
      })
      // The worker has died: the client connects again.
      proxy.at(proxy.nowMs + 5_000, () => {
        if (!isAnswered) ask()
      })
    }
    proxy.at(random() * thinkMs, ask)
  }
  for (let slot = 0; slot < connections; slot++) {
    startOne(slot, clients[slot % clients.length] ?? '', scopes[(slot >> 1) % scopes.length] ?? '')
  }
}

function startTrouble(
  proxy: World,
  { stalls, deaths }: { stalls: boolean; deaths: boolean },
  untilMs: number,
): void {
  const { random } = proxy
  const happen = (): void => {
    if (proxy.nowMs > untilMs) return
    const index = Math.floor(random() * proxy.workers.length)
    const worker = proxy.workers[index]
    if (deaths && random() < 0.3) proxy.kill(index)
    else if (stalls && worker !== undefined) proxy.stall(worker, random() ** 3 * 3_000)
    proxy.at(proxy.nowMs + random() * 800, happen)
  }
  if (stalls || deaths) proxy.at(random() * 500, happen)
}

function admittedAt(proxy: World, client: string, scope: string): number[] {
  return proxy.admissions
    .filter((each) => each.client === client && each.scope === scope)
    .map(({ atMs }) => atMs)
}

test(
  'no client is admitted more than burst + rate * t in any t seconds, whatever workers and messages do',
  TIMEOUT,
  () => {
    fc.assert(
      fc.property(world, limit, limit, (parameters, general, site) => {
        const { connections, thinkMs } = parameters
        const limits = limitsOf(general, site)
        const proxy = newWorld(parameters, limits)
        const untilMs = 6_000
        const scopes = [GENERAL_SCOPE, SITE]
        startConnections(proxy, { connections, thinkMs, clients: CLIENTS, scopes, untilMs })
        startTrouble(proxy, parameters, untilMs)
        proxy.run(untilMs + 10_000)
        for (const client of CLIENTS) {
          const generalExcess = worstExcess(admittedAt(proxy, client, GENERAL_SCOPE), [
            { fromMs: 0, limit: general },
          ])
          const siteExcess = worstExcess(admittedAt(proxy, client, SITE), [{ fromMs: 0, limit: site }])
          assert.equal(generalExcess, 0, `general: ${generalExcess} too many for ${client}`)
          assert.equal(siteExcess, 0, `site: ${siteExcess} too many for ${client}`)
        }
        assert.equal(proxy.silences, 0, 'a worker that stands still does not take the authority for silent')
        if (!parameters.deaths) assert.equal(proxy.verdicts, proxy.requests, 'each request gets its verdict')
      }),
      { numRuns: RUNS },
    )
  },
)

test(
  'after new limits have reached every worker they hold exactly, and on the way both in turn',
  TIMEOUT,
  () => {
    fc.assert(
      fc.property(world, limit, limit, (parameters, before, after) => {
        const { connections, thinkMs } = parameters
        const proxy = newWorld(parameters, limitsOf(before))
        const untilMs = 6_000
        const [client = ''] = CLIENTS
        startConnections(proxy, { connections, thinkMs, clients: [client], scopes: [GENERAL_SCOPE], untilMs })
        const changedAtMs = 3_000
        proxy.at(changedAtMs, () => proxy.configure(limitsOf(after)))
        proxy.run(untilMs + 10_000)
        const admitted = admittedAt(proxy, client, GENERAL_SCOPE)
        const burst = Math.max(before.burst, after.burst)
        const onTheWay = worstExcess(admitted, [
          { fromMs: 0, limit: before },
          { fromMs: changedAtMs, limit: { ...after, burst } },
          { fromMs: proxy.configuredAtMs, limit: after },
        ])
        assert.equal(onTheWay, 0, `${onTheWay} too many on the way`)
        const later = admitted.filter((atMs) => atMs > proxy.configuredAtMs)
        const afterwards = worstExcess(later, [{ fromMs: 0, limit: after }])
        assert.equal(afterwards, 0, `${afterwards} too many afterwards`)
      }),
      { numRuns: RUNS },
    )
  },
)
