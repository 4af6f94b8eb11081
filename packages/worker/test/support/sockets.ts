// Small steps that tests over loopback sockets share.
import assert from 'node:assert/strict'
import { once, type EventEmitter } from 'node:events'
import type { Server } from 'node:net'
import type { TestContext } from 'node:test'

/** The first argument of the next `event`; rejects on 'error'. */
export async function next<Value>(emitter: EventEmitter, event: string): Promise<Value> {
  const [value]: Value[] = await once(emitter, event)
  assert.ok(value !== undefined)
  return value
}

/** Listens on a free port of 127.0.0.1 until the end of the test. */
export async function listen(t: TestContext, server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}
