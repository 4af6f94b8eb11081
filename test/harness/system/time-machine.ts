// Loaded into a program before it begins (`node --import`): with each SIGPWR, so much time passes for it as
// the query says (`?stepMs=`), on the wall clock and for whoever sleeps by node:timers/promises.
import { EventEmitter, once } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'

const stepMs = Number(new URL(import.meta.url).searchParams.get('stepMs'))
const now = Date.now
const sleep = timers.setTimeout
const steps = new EventEmitter()
steps.setMaxListeners(0)
let passedMs = 0

Date.now = () => now() + passedMs
Object.assign(timers, { setTimeout: sleepThroughSteps })
syncBuiltinESMExports()
process.on('SIGPWR', () => {
  passedMs += stepMs
  steps.emit('step')
})

async function sleepThroughSteps(
  delayMs: number,
  value: unknown,
  options: { signal?: AbortSignal } = {},
): Promise<unknown> {
  const endMs = Date.now() + delayMs
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, ...(options.signal === undefined ? [] : [options.signal])])
  try {
    for (let leftMs = delayMs; leftMs > 0; leftMs = endMs - Date.now()) {
      await Promise.race([sleep(leftMs, undefined, { signal }), once(steps, 'step', { signal })])
    }
    return value
  } finally {
    over.abort()
  }
}
