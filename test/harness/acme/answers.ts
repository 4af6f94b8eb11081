// What a CA in trouble answers by itself: the request goes no further, Pebble never hears of it.
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import type { Answer, Behaviour, Problem } from './exchange.ts'
import { answerOf, problemAnswer, withHeaders } from './exchange.ts'
import type { ReplacesRefusal } from './newer-ca.ts'
import { replacesRefusal } from './newer-ca.ts'

const FLOOD_BYTES = 2 ** 30
/** White space may stand before any JSON: nothing in it tells a reader to stop early. */
const FLOOD_CHUNK = Buffer.alloc(64 * 1024, ' ')

/** Any problem document, with a nonce for the next attempt. */
export function refuse(problem: Problem): Behaviour {
  return say(problemAnswer(problem))
}

/** 429; `retryAfter` is the header as it goes over the wire: seconds, a date, nonsense, or none. */
export function rateLimited(retryAfter?: string): Behaviour {
  return refuse({ status: 429, type: 'rateLimited', detail: 'too many orders', ...retryAfterOf(retryAfter) })
}

/** 503, as a load balancer in front of the CA says it: without a nonce. */
export function unavailable(retryAfter?: string): Behaviour {
  const problem = { status: 503, type: 'rateLimited', detail: 'the service is busy' }
  return ({ send }) => send(problemAnswer({ ...problem, ...retryAfterOf(retryAfter) }))
}

/** 500 without any explanation. */
export function serverError(): Behaviour {
  return ({ send }) => send(answerOf(500, 'text/plain', ''))
}

export function badNonce(): Behaviour {
  return refuse({ status: 400, type: 'badNonce', detail: 'the nonce is not one of ours' })
}

/** The order cannot have these names, as Boulder refuses them: all in one document. */
export function rejectIdentifiers(identifiers: readonly string[]): Behaviour {
  return refuse({ status: 400, type: 'rejectedIdentifier', detail: 'the name is not allowed', identifiers })
}

/** For a newOrder; those without `replaces` go through. */
export function refuseReplaces(reason: ReplacesRefusal): Behaviour {
  const refusal = say(replacesRefusal(reason))
  return async (exchange) => {
    if (exchange.request.replaces === undefined) exchange.send(await exchange.forward())
    else await refusal(exchange)
  }
}

/** A page for people, where a client expects JSON. */
export function html(status = 200): Behaviour {
  return ({ send }) =>
    send(answerOf(status, 'text/html', '<!doctype html><title>Maintenance</title><p>Back soon.'))
}

/** Never a byte. */
export function hang(): Behaviour {
  return async ({ response }) => {
    if (!response.closed) await once(response, 'close')
  }
}

/** A gigabyte of white space: how much was sent shows when the client hung up. */
export function flood(bytes = FLOOD_BYTES): Behaviour {
  return async ({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const chunks = Array.from({ length: Math.ceil(bytes / FLOOD_CHUNK.length) }, () => FLOOD_CHUNK)
    // Rejects when the client has had enough.
    await pipeline(chunks, response).catch(() => {})
  }
}

/** TCP RST instead of an answer. */
export function reset(): Behaviour {
  return ({ connection }) => {
    connection.resetAndDestroy()
  }
}

function say(answer: Answer): Behaviour {
  return async ({ freshNonce, send }) => {
    const nonce = await freshNonce()
    send(nonce === undefined ? answer : withHeaders(answer, { 'replay-nonce': nonce }))
  }
}

function retryAfterOf(retryAfter: string | undefined): { readonly retryAfter?: string } {
  return retryAfter === undefined ? {} : { retryAfter }
}
