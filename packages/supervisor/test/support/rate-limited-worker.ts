// A worker process that only asks: several connections of one client, each with one request after the
// other. Told what to do by rate-limit/processes.test.ts.
import type { LeaseGrant, LeaseRequest } from '@reverse-proxy/shared/ipc/messages'
import type { RateLimits } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { GENERAL_SCOPE } from '@reverse-proxy/shared/rate-limit/rate-limits'
import { ADMITTED, RateLimiter } from '../../../worker/src/ratelimit/limiter.ts'
import { systemTimers } from '../../../worker/src/node/timers.ts'

export type ToWorker =
  | LeaseGrant
  | { readonly type: 'limits'; readonly limits: RateLimits }
  | { readonly type: 'load'; readonly client: string; readonly connections: number; readonly thinkMs: number }
  /** Answered by `counted` when every request has its verdict and no other follows. */
  | { readonly type: 'rest' }

export type FromWorker =
  | LeaseRequest
  | { readonly type: 'booted' }
  | { readonly type: 'limited' }
  | {
      readonly type: 'counted'
      readonly requests: number
      readonly admitted: number
      readonly silences: number
    }

function send(message: FromWorker): void {
  process.send?.(message)
}

let limiter: RateLimiter | undefined
let silences = 0
let requests = 0
let admitted = 0
let resting = false
let busyConnections = 0

function onAuthorityTimeout(): void {
  silences++
}

function configure(limits: RateLimits): void {
  if (limiter !== undefined) {
    limiter.configure(limits)
    return
  }
  limiter = new RateLimiter({ limits, workers: 4, send, timers: systemTimers, onAuthorityTimeout })
}

function connect(client: string, thinkMs: number): void {
  busyConnections++
  const ask = (): void => {
    if (resting) {
      if (--busyConnections === 0) send({ type: 'counted', requests, admitted, silences })
      return
    }
    requests++
    const verdict = limiter?.admit(GENERAL_SCOPE, client)
    if (verdict === undefined) limiter?.wait(GENERAL_SCOPE, client, { onRateDecision })
    else onRateDecision(verdict)
  }
  const onRateDecision = (verdict: number): void => {
    if (verdict === ADMITTED) admitted++
    setTimeout(ask, thinkMs)
  }
  ask()
}

process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'lease-grant':
      limiter?.onGrant(message)
      break
    case 'limits':
      configure(message.limits)
      send({ type: 'limited' })
      break
    case 'load':
      resting = false
      for (let i = 0; i < message.connections; i++) connect(message.client, message.thinkMs)
      break
    case 'rest':
      resting = true
      break
  }
})
process.on('disconnect', () => process.exit())
send({ type: 'booted' })
