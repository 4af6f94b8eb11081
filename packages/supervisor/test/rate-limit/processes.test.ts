// The promise of exact limits over real processes and real messages: one client on 60 connections.
import assert from 'node:assert/strict'
import type { Worker } from 'node:cluster'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as elapse } from 'node:timers/promises'
import type { RateLimit } from '@reverse-proxy/shared/config/config'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { LocalRateLimitAuthority } from '../../src/rate-limit/authority.ts'
import type { FromWorker, ToWorker } from '../support/rate-limited-worker.ts'
import { recordingLog } from '../support/recording-log.ts'

const WORKERS = 4
const CONNECTIONS = 60
const HALF_MS = 1_500
const before: RateLimit = { requestsPerSecond: 200, burst: 100 }
const after: RateLimit = { requestsPerSecond: 400, burst: 30 }

function nowMs(): number {
  return performance.now()
}

function limitsOf(general: RateLimit): RateLimits {
  return { general, sites: new Map() }
}

function send(worker: Worker, message: ToWorker): void {
  worker.send(message)
}

async function heard<Type extends FromWorker['type']>(
  worker: Worker,
  type: Type,
): Promise<Extract<FromWorker, { type: Type }>> {
  const isWanted = (message: FromWorker): message is Extract<FromWorker, { type: Type }> =>
    message.type === type
  return await new Promise((resolve) => {
    const onMessage = (message: FromWorker): void => {
      if (!isWanted(message)) return
      worker.off('message', onMessage)
      resolve(message)
    }
    worker.on('message', onMessage)
  })
}

async function tellAll(
  workers: readonly Worker[],
  message: ToWorker,
  answer: FromWorker['type'],
): Promise<FromWorker[]> {
  const answers = workers.map(async (worker) => await heard(worker, answer))
  for (const worker of workers) send(worker, message)
  return await Promise.all(answers)
}

test(
  'one client on 60 connections over 4 processes gets what it is entitled to and nothing more, also when limits change',
  { timeout: 30_000 },
  async (t) => {
    const authority = new LocalRateLimitAuthority({
      limits: limitsOf(before),
      log: recordingLog(),
      nowMs,
      workers: () => WORKERS,
      seed: 1,
    })
    cluster.setupPrimary({
      exec: join(import.meta.dirname, '../support/rate-limited-worker.ts'),
      args: [],
      serialization: 'advanced',
    })
    const workers = Array.from({ length: WORKERS }, () => cluster.fork())
    t.after(async () => {
      await Promise.all(
        workers.map(async (worker) => {
          if (worker.isDead()) return
          worker.process.kill('SIGKILL')
          await once(worker, 'exit')
        }),
      )
    })
    for (const worker of workers) {
      worker.on('message', (message: FromWorker) => {
        if (message.type !== 'lease-request') return
        authority.request(worker.id, message, (grant) => send(worker, grant))
      })
    }
    await Promise.all(workers.map(async (worker) => await heard(worker, 'booted')))
    await tellAll(workers, { type: 'limits', limits: limitsOf(before) }, 'limited')

    const startedMs = nowMs()
    const load = {
      type: 'load',
      client: '203.0.113.1',
      connections: CONNECTIONS / WORKERS,
      thinkMs: 3,
    } as const
    for (const worker of workers) send(worker, load)
    await elapse(HALF_MS)
    const changedMs = nowMs()
    authority.configure(limitsOf(after))
    await tellAll(workers, { type: 'limits', limits: limitsOf(after) }, 'limited')
    await elapse(HALF_MS)
    const restedMs = nowMs()
    const counts = await tellAll(workers, { type: 'rest' }, 'counted')
    const endedMs = nowMs()

    let admitted = 0
    let requests = 0
    for (const count of counts) {
      assert.ok(count.type === 'counted')
      assert.equal(count.silences, 0)
      admitted += count.admitted
      requests += count.requests
    }
    const firstHalf = before.burst + (before.requestsPerSecond * (changedMs - startedMs)) / 1000
    const atMost = firstHalf + (after.requestsPerSecond * (endedMs - changedMs)) / 1000
    const atLeast = 0.9 * (firstHalf + (after.requestsPerSecond * (restedMs - changedMs)) / 1000)
    t.diagnostic(`${admitted} of ${requests} requests admitted, ${Math.floor(atMost)} allowed`)
    assert.ok(requests > 4 * atMost, `only ${requests} requests`)
    assert.ok(admitted <= atMost, `${admitted} admitted, ${atMost} allowed`)
    assert.ok(admitted >= atLeast, `${admitted} admitted, at least ${atLeast} due`)
  },
)
