// How fast a CA is asked: by a clock that only the test moves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CaPacer } from '../../src/certificates/acme-client/transport/pacer.ts'
import { persist } from '../../src/certificates/acme-client/transport/patience.ts'
import { AcmeError } from '../../src/certificates/acme-client/transport/problem.ts'

const NEVER = new AbortController().signal

class Clock {
  now = 0
  timerMs(): number {
    return this.now
  }
  async sleep(delayMs: number): Promise<void> {
    this.now += delayMs
  }
}

async function timesOf(pacer: CaPacer, clock: Clock, count: number): Promise<number[]> {
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    await pacer.take(clock, NEVER)
    times.push(Math.round(clock.now))
  }
  return times
}

test('ten requests at once, then ten a second: never more than twenty in a second', async () => {
  const times = await timesOf(new CaPacer(), new Clock(), 40)
  assert.equal(times.filter((time) => time < 1_000).length <= 20, true)
  assert.equal(times[9], 0)
  assert.equal(times[39], 3_000)
})

test('a busy CA is left alone as long as it asks, and asked more slowly afterwards', async () => {
  const [pacer, clock] = [new CaPacer(), new Clock()]
  await timesOf(pacer, clock, 3)
  pacer.noteBusy(clock.now, 30_000)
  assert.deepEqual(await timesOf(pacer, clock, 3), [30_000, 30_200, 30_400])
  for (let index = 0; index < 100; index++) pacer.noteSuccess()
  assert.equal(pacer.intervalMs, 100)
})

test('a request that waits for its turn waits on when the CA asks everybody to', async () => {
  const pacer = new CaPacer()
  let held = false
  const clock = new Clock()
  const sleep = clock.sleep.bind(clock)
  clock.sleep = async (delayMs) => {
    if (!held) pacer.noteBusy(clock.now, 10_000)
    held = true
    await sleep(delayMs)
  }
  const times = await timesOf(pacer, clock, 11)
  assert.ok((times[10] ?? 0) >= 10_000)
})

test('four orders at once, the others in turn; one that is given up while it waits leaves its turn', async () => {
  const pacer = new CaPacer()
  const running: { readonly name: number; readonly end: () => void }[] = []
  const order = async (name: number, signal: AbortSignal): Promise<void> => {
    await pacer.order(signal, async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      running.push({ name, end: resolve })
      await promise
    })
  }
  const gone = new AbortController()
  const orders = [1, 2, 3, 4, 5, 6].map(async (name) => await order(name, name === 5 ? gone.signal : NEVER))
  const names = (): number[] => running.map(({ name }) => name)
  await Promise.resolve()
  assert.deepEqual(names(), [1, 2, 3, 4])
  gone.abort(new Error('given up'))
  await assert.rejects(orders[4] ?? Promise.resolve(), /given up/u)
  running[0]?.end()
  await orders[0]
  await new Promise(setImmediate)
  assert.deepEqual(names(), [1, 2, 3, 4, 6])
  for (const { end } of running) end()
  await Promise.allSettled(orders)
})

/** When it was tried. */
async function fail(options: Partial<ConstructorParameters<typeof AcmeError>[1]>): Promise<number[]> {
  const clock = new Clock()
  const times: number[] = []
  const ask = async (): Promise<never> => {
    times.push(clock.now)
    throw new AcmeError('no', { reachedCa: true, ...options })
  }
  await assert.rejects(persist(ask, { clock, signal: NEVER, limit: 4 }), { code: 'ACME' })
  return times
}

test('what passes by itself is tried four times with growing pauses; Retry-After lengthens them, a minute at most', async () => {
  const times = await fail({ responseStatus: 503 })
  assert.equal(times.length, 4)
  const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0))
  assert.ok(pauses.every((pause, index) => pause >= 750 * 2 ** index && pause <= 1_250 * 2 ** index))
  assert.deepEqual(await fail({ responseStatus: 429, retryAfterMs: 60_000 }), [0, 60_000, 120_000])
  assert.equal((await fail({ responseStatus: 429, retryAfterMs: 60_001 })).length, 1)
  assert.equal((await fail({ isUnsettled: true })).length, 4)
  for (const responseStatus of [400, 403, 404, 501]) assert.equal((await fail({ responseStatus })).length, 1)
  assert.equal((await fail({})).length, 1, 'a certificate that is not trusted')
})
