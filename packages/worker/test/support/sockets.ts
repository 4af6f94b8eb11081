// A step that tests over sockets share.
import assert from 'node:assert/strict'
import { once, type EventEmitter } from 'node:events'

/** The first argument of the next `event`; rejects on 'error'. */
export async function next<Value>(emitter: EventEmitter, event: string): Promise<Value> {
  const [value]: Value[] = await once(emitter, event)
  assert.ok(value !== undefined)
  return value
}
