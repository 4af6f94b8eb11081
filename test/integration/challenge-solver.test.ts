// An order knows of a challenge only what a solver says: one for dns-01, which exists in this file alone, proves a
// wildcard to a real ACME server.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { systemClock } from '@reverse-proxy/shared/clock'
import { temporaryDirectory } from '../harness/directory.ts'
import type { Pebble } from '../harness/acme/pebble.ts'
import { startPebble } from '../harness/acme/pebble.ts'
import { AccountStore } from '../../packages/supervisor/src/certificates/acme/account-store.ts'
import { OrderStore } from '../../packages/supervisor/src/certificates/acme/order-store.ts'
import type { OrderRequest } from '../../packages/supervisor/src/certificates/acme-client/order-request.ts'
import { placeOrder } from '../../packages/supervisor/src/certificates/acme-client/order.ts'
import { ACME_LIMITS } from '../../packages/supervisor/src/certificates/acme-client/transport/time-limits.ts'
import { openFileStorage } from '../../packages/supervisor/src/certificates/storage/file-storage.ts'
import { withTimers } from '../../packages/supervisor/src/os/waitable-clock.ts'
import type { Challenge, ChallengeSolver } from '../../packages/supervisor/src/certificates/solvers/solver.ts'
import { FakeHost, settingsFor } from '../harness/certificates/fake-host.ts'

const NAMES = ['one.example', '*.one.example']

/** Writes the proofs into Pebble's own name server: RFC 8555 8.4. */
class DnsSolver implements ChallengeSolver {
  readonly type = 'dns-01'
  readonly hint = 'the name server must have the record'
  readonly presented: string[] = []
  isClean = true
  readonly #pebble: Pebble

  constructor(pebble: Pebble) {
    this.#pebble = pebble
  }

  supports(): boolean {
    return true
  }

  async present(challenges: readonly Challenge[]): Promise<void> {
    this.isClean = false
    for (const { name, keyAuthorization } of challenges) {
      this.presented.push(name)
      const digest = createHash('sha256').update(keyAuthorization).digest('base64url')
      await this.#pebble.addText(recordOf(name), digest)
    }
  }

  async cleanup(): Promise<void> {
    for (const name of this.presented) await this.#pebble.clearText(recordOf(name))
    this.isClean = true
  }
}

function recordOf(name: string): string {
  return `_acme-challenge.${name.replace(/^\*\./u, '')}.`
}

for (const isAble of [true, false]) {
  const title = isAble
    ? 'a solver that can prove wildcards gets a certificate for them, and nothing stays presented'
    : 'a solver that cannot prove wildcards: the order fails for the wildcard alone, and nothing is presented'
  test(title, { timeout: 60_000 }, async (t) => {
    const pebble = await startPebble(t)
    const host = new FakeHost()
    const directory = temporaryDirectory(t)
    const solver = new DnsSolver(pebble)
    if (!isAble) solver.supports = (name?: string) => name?.startsWith('*.') !== true
    const request: OrderRequest = {
      settings: settingsFor(pebble, directory, { domains: NAMES }),
      names: NAMES,
      predecessor: undefined,
      accounts: new AccountStore(openFileStorage(directory), () => {}),
      orders: new OrderStore(openFileStorage(directory), () => {}),
      host: { jobs: host.jobs, clock: withTimers(systemClock) },
      limits: ACME_LIMITS,
      signal: new AbortController().signal,
      solver,
      progress: () => {},
      warn: () => {},
      mayOrder: async () => {},
    }
    if (isAble) {
      const { facts } = await placeOrder(request)
      assert.deepEqual(facts.names.toSorted(), NAMES.toSorted())
      assert.deepEqual(solver.presented.toSorted(), NAMES.toSorted())
    } else {
      await assert.rejects(placeOrder(request), {
        code: 'ACME',
        message: /dns-01 cannot prove \*\.one\.example/u,
        failedNames: ['*.one.example'],
      })
      assert.deepEqual(solver.presented, [])
    }
    assert.ok(solver.isClean)
  })
}
