// A new certificate, or new ticket keys, take hold in every worker at once, and no client feels it.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import type { AcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { askAdmin } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import type { Proxy } from '../../harness/proxy.ts'
import { startProxy } from '../../harness/proxy.ts'
import { connect2, requestOn } from '../../harness/clients/request.ts'
import { HOST, serveSite } from '../../harness/site.ts'
import { IS_FULL } from '../../harness/size.ts'
import type { Visit, VisitOptions } from '../../harness/clients/visits.ts'
import { visit, Visitors, workersOf } from '../../harness/clients/visits.ts'
import { waitFor } from '../../harness/wait.ts'

const WORKERS = 3
const PLAIN_SWAPS = IS_FULL ? 20 : 1
/** How long a worker stands still, and how many clients come to the others meanwhile; it is killed after 10 s. */
const STALL = { ms: IS_FULL ? 5_000 : 2_500, visits: 20 }
const TEST = { timeout: IS_FULL ? 400_000 : 120_000 }
/** After this time no client gets the old certificate or ticket keys. */
const SWITCH_MS = 1_000
const HOUR_MS = 3_600_000

const KINDS = [
  { protocol: 'h2' },
  { protocol: 'http/1.1', maxVersion: 'TLSv1.2' },
  { protocol: 'http/1.1' },
  { protocol: 'h2', maxVersion: 'TLSv1.2' },
] as const satisfies Partial<VisitOptions>[]

interface Scene {
  readonly ca: AcmeFaultProxy
  readonly proxy: Proxy
  readonly port: number
  /** One command over the admin socket. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as askAdmin
  readonly ask: (command: string) => Promise<any>
}

async function setUp(t: TestContext): Promise<Scene> {
  const pebble = await startPebble(t, { authorizationReusePercent: 100 })
  const ca = await startAcmeFaultProxy(t, pebble)
  const origin = await HttpOrigin.start(t, (incoming, response) => {
    if (incoming.url !== '/stream') {
      response.end('served')
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const ticking = setInterval(() => response.write('data: tick\n\n'), 50)
    response.on('close', () => clearInterval(ticking))
  })
  const proxy = await startProxy(t, {
    workers: WORKERS,
    listeners: [acmeListener({ ca, names: [HOST], httpsPort: pebble.tlsPort, upstream: origin.upstream })],
  })
  const socket = join(proxy.directory, 'admin.sock')
  return { ca, proxy, port: pebble.tlsPort, ask: async (command) => await askAdmin(socket, command) }
}

test(
  'Hot swap: under load, every worker serves the new certificate and never an older one again',
  TEST,
  async (t) => {
    const scene = await setUp(t)
    const { proxy, port } = scene
    const target = { port, host: HOST }
    const sessions = await Promise.all(
      KINDS.map(async (kind) => (await visit({ ...target, ...kind })).session),
    )
    const fresh = new Visitors(4, (turn) => ({ ...target, ...KINDS[turn % KINDS.length] }))
    const returning = new Visitors(2, (turn) => {
      const kind = turn % KINDS.length
      return { ...target, ...KINDS[kind], session: sessions[kind] }
    })
    const staying = stay(t, port)

    const swaps: Swap[] = []
    for (let count = 0; count < PLAIN_SWAPS; count++) swaps.push(await renew(scene))
    swaps.push(await renewWhileForking(scene))
    const stall = await renewWhileStanding(scene, fresh)
    swaps.push(stall)
    const { length } = fresh.visits
    await waitFor('clients to come after all that', () => fresh.visits.length > length + 50, 30_000)
    await Promise.all([fresh.stop(), returning.stop()])

    assert.deepEqual([...fresh.errors, ...returning.errors], [])
    await staying.assertUndisturbed()
    assert.ok(
      returning.visits.every(({ resumed }) => resumed),
      'a swap alone keeps tickets valid',
    )
    assert.ok(fresh.visits.every(({ resumed }) => !resumed))
    const workers = await workersOf(proxy.stdout, [...fresh.visits, ...returning.visits])
    const allWorkers = WORKERS + 1
    assert.equal(new Set(returning.visits.map((one) => workers.get(one))).size, allWorkers)

    assertInOrder(fresh.visits, swaps, (one) => workers.get(one))
    const others = fresh.visits.filter((one) => workers.get(one) !== stall.worker)
    const seenMs = Math.min(
      ...others.filter(({ serial }) => serial === stall.serial).map(({ shownMs }) => shownMs),
    )
    const late = others.filter(({ startedMs }) => startedMs > seenMs + SWITCH_MS)
    assert.ok(
      late.some(({ startedMs }) => startedMs < stall.wokenMs),
      'one that stands still stops nobody',
    )
    assert.deepEqual(
      late.filter(({ serial }) => serial !== stall.serial),
      [],
    )
  },
)

interface Swap {
  readonly serial: string
  /** When every worker had acknowledged. */
  readonly doneMs: number
}

async function renew({ ask }: Scene): Promise<Swap> {
  const { renewed } = await ask(`renew ${HOST}`)
  const doneMs = Date.now()
  const [serial] = renewed[0].serials
  const { certificates } = await ask('certs')
  for (const worker of certificates[0].workers) assert.deepEqual(worker.serials, [serial])
  return { serial, doneMs }
}

/** A worker more, that is forked when the order has begun and boots while the certificate is published. */
async function renewWhileForking(scene: Scene): Promise<Swap> {
  const { ca, proxy } = scene
  ca.inject({
    on: 'newOrder',
    times: 1,
    answer: async ({ forward, send }) => {
      proxy.signal('SIGTTIN')
      send(await forward())
    },
  })
  const swap = await renew(scene)
  await proxy.stdout.waitForLine(new RegExp(` WORKER_READY worker=${WORKERS + 1} `, 'u'))
  return swap
}

interface Stall extends Swap {
  readonly worker: string
  /** When it went on. */
  readonly wokenMs: number
}

/** One worker stands still from before the certificate is issued until the others have served it for a while. */
async function renewWhileStanding(scene: Scene, visitors: Visitors): Promise<Stall> {
  const { workers } = await scene.ask('workers')
  const { worker, pid } = workers[0]
  scene.ca.inject({
    on: 'finalize',
    times: 1,
    answer: async ({ forward, send }) => {
      process.kill(pid, 'SIGSTOP')
      send(await forward())
    },
  })
  const known = new Set(visitors.visits.map(({ serial }) => serial))
  let isDone = false
  const renewing = renew(scene).finally(() => (isDone = true))
  try {
    const isNew = ({ serial }: Visit): boolean => !known.has(serial)
    await waitFor(
      'clients to be shown the new certificate',
      () => {
        const shown = visitors.visits.filter(isNew)
        const [first] = shown
        return shown.length >= STALL.visits && first !== undefined && Date.now() > first.shownMs + STALL.ms
      },
      9_000,
    )
    assert.equal(isDone, false, 'a worker has yet to acknowledge')
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  const wokenMs = Date.now()
  return { ...(await renewing), worker: String(worker), wokenMs }
}

/** Once a worker, or after a swap any worker, has shown a certificate, nobody who comes later gets an older one. */
function assertInOrder(
  visits: readonly Visit[],
  swaps: readonly Swap[],
  workerOf: (one: Visit) => string | undefined,
): void {
  const rank = new Map(swaps.map(({ serial }, index) => [serial, index + 1]))
  const rankOf = ({ serial }: Visit): number => rank.get(serial) ?? 0
  const byStart = visits.toSorted((a, b) => a.startedMs - b.startedMs)
  const byShown = visits.toSorted((a, b) => a.shownMs - b.shownMs)
  const least = new Map<string | undefined, number>()
  let seen = 0
  for (const one of byStart) {
    for (
      let past = byShown[seen];
      past !== undefined && past.shownMs < one.startedMs;
      past = byShown[++seen]
    ) {
      const worker = workerOf(past)
      least.set(worker, Math.max(least.get(worker) ?? 0, rankOf(past)))
    }
    const done = swaps.findLastIndex(({ doneMs }) => doneMs < one.startedMs) + 1
    const expected = Math.max(done, least.get(workerOf(one)) ?? 0)
    assert.ok(rankOf(one) >= expected, `${JSON.stringify(one)}: certificate ${rankOf(one)} after ${expected}`)
  }
  assert.deepEqual(new Set(visits.map(rankOf)), new Set([0, ...rank.values()]), 'each one was served')
}

/** Who came before it all and stays: a stream that never ends, and a request with each of its ticks. */
function stay(t: TestContext, port: number): { assertUndisturbed(): Promise<void> } {
  const target = { port, host: HOST, ca: '' }
  const session = connect2(target, { rejectUnauthorized: false })
  t.after(() => session.destroy())
  const stream = session.request({ ':path': '/stream' })
  let bytes = 0
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length))
  stream.on('error', () => {})
  const over = new AbortController()
  stream.on('close', () => over.abort())
  const leaving = new AbortController()
  const asking = (async () => {
    while (!leaving.signal.aborted && !stream.closed) {
      assert.equal((await requestOn(session, target)).status, 200)
      await once(stream, 'data', { signal: over.signal }).catch(() => {})
    }
  })()
  asking.catch(() => {})
  return {
    assertUndisturbed: async () => {
      leaving.abort()
      await asking
      assert.equal(stream.closed, false)
      const before = bytes
      assert.ok(before > 0)
      await waitFor('the stream to go on', () => bytes > before)
    },
  }
}

test(
  'Ticket rotation under load: one full handshake for an old ticket, no error, all workers within 1 s',
  TEST,
  async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const timeMachine = new URL(
      `../../harness/system/time-machine.ts?stepMs=${12 * HOUR_MS}`,
      import.meta.url,
    )
    const { proxy, httpsPort: port } = await serveSite(t, {
      upstream: origin.upstream,
      config: { workers: WORKERS },
      program: { execArgv: ['--import', timeMachine.href] },
    })
    const target = { port, host: HOST }
    const takeTickets = async (): Promise<(Buffer | undefined)[]> =>
      await Promise.all(KINDS.map(async (kind) => (await visit({ ...target, ...kind })).session))
    const returnWith = (tickets: readonly (Buffer | undefined)[]) => (turn: number) => {
      const kind = turn % KINDS.length
      return { ...target, ...KINDS[kind], session: tickets[kind] }
    }
    const old = await takeTickets()
    const returning = new Visitors(4, returnWith(old))
    await waitFor('returning clients', () => returning.visits.length > 60, 30_000)
    assert.ok(
      returning.visits.every(({ resumed }) => resumed),
      'without rotation everybody resumes',
    )

    proxy.signal('SIGPWR')
    const first = await waitFor(
      'the rotation',
      () => returning.visits.find(({ resumed }) => !resumed),
      30_000,
    )
    const isLate = ({ startedMs }: Visit): boolean => startedMs > first.shownMs + SWITCH_MS
    await waitFor('clients after that', () => returning.visits.filter(isLate).length > 60, 30_000)
    await returning.stop()
    assert.deepEqual(returning.errors, [])
    const late = returning.visits.filter(isLate)
    assert.deepEqual(
      late.filter(({ resumed }) => resumed),
      [],
    )
    const workers = await workersOf(proxy.stdout, returning.visits)
    for (const some of [late, returning.visits.filter(({ resumed }) => resumed)]) {
      assert.equal(new Set(some.map((one) => workers.get(one))).size, WORKERS)
    }

    // New tickets are good at every worker, also at one that did not live when the keys were made.
    const tickets = await takeTickets()
    proxy.signal('SIGTTIN')
    await proxy.stdout.waitForLine(new RegExp(` WORKER_READY worker=${WORKERS + 1} `, 'u'))
    const again = new Visitors(4, returnWith(tickets))
    await waitFor(
      'every worker to have had one',
      async () => {
        const taken = await workersOf(proxy.stdout, [...again.visits])
        return new Set(taken.values()).size === WORKERS + 1
      },
      30_000,
    )
    await again.stop()
    assert.deepEqual(again.errors, [])
    assert.ok(again.visits.every(({ resumed }) => resumed))
  },
)
