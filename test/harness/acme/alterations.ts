// What the CA answers, falsified or damaged on its way: Pebble has acted on the request in any case.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Behaviour } from './exchange.ts'
import { problemDocument, withHeaders, withJson } from './exchange.ts'
import { listOf } from './request.ts'
import type { Arrangement, Substitute } from './substitute.ts'
import { rearrange, substitute } from './substitute.ts'

const SECOND_MS = 1000

/** Orders, authorizations: of which the CA says this and no more, whatever their state. */
export function reportStatus(status: string): Behaviour {
  return alterJson((resource) => {
    const challenges = listOf(resource['challenges']).map((challenge) => ({ ...challenge, status }))
    return { ...resource, certificate: undefined, status, ...(challenges.length > 0 && { challenges }) }
  })
}

/** An order that has failed for the sake of some of its names, each with a subproblem. */
export function invalidateOrder(identifiers: readonly string[], subtype = 'caa'): Behaviour {
  const problem = { status: 403, type: 'malformed', detail: 'some names cannot be had', identifiers, subtype }
  return alterJson((order) => ({
    ...order,
    certificate: undefined,
    status: 'invalid',
    error: problemDocument(problem),
  }))
}

/** A certificate other than the one Pebble issued. */
export function substituteChain(change: Substitute): Behaviour {
  return alterChain(async (chainPem) => await substitute(chainPem, change))
}

/** Pebble's certificate, in a chain that leads nowhere. */
export function rearrangeChain(arrangement: Arrangement): Behaviour {
  return alterChain(async (chainPem) => await rearrange(chainPem, arrangement))
}

export function asContentType(contentType: string): Behaviour {
  return alter((answer) => withHeaders(answer, { 'content-type': contentType }))
}

export function withoutNonce(): Behaviour {
  return alter((answer) => {
    const kept = Object.entries(answer.headers).filter(([name]) => name !== 'replay-nonce')
    return { ...answer, headers: Object.fromEntries(kept) }
  })
}

/** Half of the body that its length promises, then the end of the connection. */
export function truncate(): Behaviour {
  return async ({ connection, response, forward }) => {
    const { status, headers, body } = await forward()
    response.writeHead(status, { ...headers, 'content-length': body.length })
    response.write(body.subarray(0, body.length / 2), () => connection.destroy())
  }
}

/** The whole answer, a byte at a time. */
export function drip(bytesPerSecond = 1): Behaviour {
  return async ({ response, forward }) => {
    const { status, headers, body } = await forward()
    response.writeHead(status, { ...headers, 'content-length': body.length })
    for (const byte of body) {
      if (response.closed) return
      response.write(Buffer.of(byte))
      await sleep(SECOND_MS / bytesPerSecond)
    }
    response.end()
  }
}

/** TCP RST after the CA has acted: the client cannot know whether it did. */
export function loseAnswer(): Behaviour {
  return async ({ connection, forward }) => {
    await forward()
    connection.resetAndDestroy()
  }
}

function alter(change: (answer: Answer) => Answer | Promise<Answer>): Behaviour {
  return async ({ forward, send }) => {
    send(await change(await forward()))
  }
}

function alterJson(change: (json: Record<string, unknown>) => Record<string, unknown>): Behaviour {
  return alter((answer) => (isRefusal(answer) ? answer : withJson(answer, change)))
}

function alterChain(change: (chainPem: string) => Promise<string>): Behaviour {
  return alter(async (answer) =>
    isRefusal(answer) ? answer : { ...answer, body: Buffer.from(await change(answer.body.toString())) },
  )
}

// Pebble refuses some requests of its own accord: a stale nonce stays what it is.
function isRefusal({ status }: Answer): boolean {
  return status >= 300
}
