// What a fault gets to see and do: one request of the client, the answer that the CA would give, and the
// bare means of answering otherwise.
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { AcmeRequest } from './request.ts'
import { parseObject } from './request.ts'

export interface Answer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: OutgoingHttpHeaders
  readonly body: Buffer
}

export interface Exchange {
  readonly request: AcmeRequest
  /** Where the answer goes, for those that are not simply sent. */
  readonly response: ServerResponse
  /** TCP, below TLS. */
  readonly connection: Socket
  /** Lets the CA act on the request. Rejects when Pebble cannot be reached. */
  readonly forward: () => Promise<Answer>
  /** A nonce that Pebble will take; undefined when it cannot be reached. */
  readonly freshNonce: () => Promise<string | undefined>
  readonly send: (answer: Answer) => void
}

/** Resolves when the answer is on its way or the client is gone. */
export type Behaviour = (exchange: Exchange) => Promise<void> | void

export interface Problem {
  readonly status: number
  /** RFC 8555 6.7, without the prefix. */
  readonly type: string
  readonly detail: string
  /** The names that the CA blames, each for the same reason. */
  readonly identifiers?: readonly string[]
  /** Of the subproblems; the problem's own if not given. */
  readonly subtype?: string
  /** The header as it goes over the wire. */
  readonly retryAfter?: string
}

export function answerOf(status: number, contentType: string, body: string | Buffer): Answer {
  return { status, headers: { 'content-type': contentType }, body: Buffer.from(body) }
}

export function withHeaders(answer: Answer, headers: OutgoingHttpHeaders): Answer {
  return { ...answer, headers: { ...answer.headers, ...headers } }
}

/** RFC 7807, and RFC 8555 6.7.1 for several names. */
export function problemAnswer(problem: Problem): Answer {
  const answer = answerOf(
    problem.status,
    'application/problem+json',
    JSON.stringify(problemDocument(problem)),
  )
  return problem.retryAfter === undefined
    ? answer
    : withHeaders(answer, { 'retry-after': problem.retryAfter })
}

export function problemDocument(problem: Problem): Record<string, unknown> {
  const { status, type, detail, identifiers = [], subtype = type } = problem
  const subproblems = identifiers.map((value) => ({
    type: urn(subtype),
    detail,
    identifier: { type: 'dns', value },
  }))
  return { type: urn(type), detail, status, ...(subproblems.length > 0 && { subproblems }) }
}

/** The answer with its JSON changed; as it is, where it holds no JSON object. */
export function withJson(
  answer: Answer,
  change: (json: Record<string, unknown>) => Record<string, unknown>,
): Answer {
  const json = parseObject(answer.body.toString())
  return json === undefined ? answer : { ...answer, body: Buffer.from(JSON.stringify(change(json))) }
}

function urn(type: string): string {
  return `urn:ietf:params:acme:error:${type}`
}
