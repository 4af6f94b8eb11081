// Errors of the exchange with a CA. They keep the whole problem document (RFC 7807), the names that it blames, and how
// long it asks us to wait.
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { isRecord } from '@reverse-proxy/shared/json'

const TYPE_PREFIX = 'urn:ietf:params:acme:error:'
/** A document is kept on disk and shown to people: no more of it than this. */
const DOCUMENT_CHARACTERS = 16_384
/** Longest message that quotes a CA, in characters. */
const MESSAGE_CHARACTERS = 2_048
/** Characters that could move the cursor of a terminal or hide a part of a message. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** RFC 8555 6.7 */
export interface Problem {
  /** Without the prefix: `rateLimited`, `dns`, `unauthorized`. */
  readonly type: string
  readonly detail: string
  /** The name it is about, where it says so. */
  readonly identifier: string | undefined
  readonly subproblems: readonly Problem[]
}

/** Reads a problem document, or undefined if it is none. */
export function parseProblem(document: unknown): Problem | undefined {
  const problem = parseOne(document)
  if (problem === undefined || !isRecord(document)) return undefined
  const nested = Array.isArray(document['subproblems']) ? document['subproblems'] : []
  return { ...problem, subproblems: nested.map(parseOne).filter((one) => one !== undefined) }
}

function parseOne(document: unknown): Problem | undefined {
  if (!isRecord(document)) return undefined
  const { type, detail, identifier } = document
  if (typeof type !== 'string' && typeof detail !== 'string') return undefined
  return {
    type: typeof type === 'string' ? type.replace(TYPE_PREFIX, '') : 'about:blank',
    detail: typeof detail === 'string' ? detail : '',
    identifier:
      isRecord(identifier) && typeof identifier['value'] === 'string'
        ? identifier['value'].toLowerCase()
        : undefined,
    subproblems: [],
  }
}

export interface AcmeErrorOptions {
  readonly cause?: unknown
  readonly hint?: string
  /** As the CA sent it. */
  readonly document?: unknown
  readonly failedNames?: readonly string[]
  readonly retryAfterMs?: number | undefined
  /** Status of the HTTP response, if there was one. */
  readonly responseStatus?: number
  /** There was no response, and the request may be sent again: its connection broke off, or took too long. */
  readonly isUnsettled?: boolean
  /** The request had been sent before, with unknown effect. */
  readonly isRepeat?: boolean
  /** Whether the CA had answered anything at all; if not, the attempt cost nothing there. */
  readonly reachedCa: boolean
  /** It has issued a certificate, which is not used. */
  readonly isIssued?: boolean
}

/** ProxyError ACME: an exchange with the CA that did not end in a certificate. */
export class AcmeError extends ProxyError {
  readonly problem: Problem | undefined
  /** The problem document as JSON text, cut if it is absurdly long. */
  readonly document: string | undefined
  /** Lower case; those that the CA names, empty if it names none. */
  readonly failedNames: readonly string[]
  readonly retryAfterMs: number | undefined
  readonly responseStatus: number | undefined
  readonly isUnsettled: boolean
  readonly isRepeat: boolean
  readonly reachedCa: boolean
  readonly isIssued: boolean

  constructor(message: string, options: AcmeErrorOptions) {
    super('ACME', message.slice(0, MESSAGE_CHARACTERS).replace(UNPRINTABLE, '?'), options)
    this.name = 'AcmeError'
    this.problem = parseProblem(options.document)
    this.document = options.document === undefined ? undefined : textOf(options.document)
    this.failedNames = options.failedNames ?? namesBlamedBy(this.problem)
    this.retryAfterMs = options.retryAfterMs
    this.responseStatus = options.responseStatus
    this.isUnsettled = options.isUnsettled ?? false
    this.isRepeat = options.isRepeat ?? false
    this.reachedCa = options.reachedCa
    this.isIssued = options.isIssued ?? false
  }
}

/** Combines the error of an order with the error of its retry `without` the failed names. */
export function combineErrors(first: unknown, second: unknown, without: readonly string[]): ProxyError {
  const hints = [first, second].map((error) => (error instanceof ProxyError ? error.hint : undefined))
  return new ProxyError(
    second instanceof ProxyError ? second.code : 'INTERNAL',
    `${messageOf(first)}; then, without ${without.join(', ')}: ${messageOf(second)}`,
    { cause: second, hint: [...new Set(hints.filter((hint) => hint !== undefined))].join('; ') },
  )
}

/** Undefined if the document is nested too deep for JSON. */
function textOf(document: unknown): string | undefined {
  try {
    return JSON.stringify(document)?.slice(0, DOCUMENT_CHARACTERS)
  } catch {
    return undefined
  }
}

function namesBlamedBy(problem: Problem | undefined): string[] {
  if (problem === undefined) return []
  const blamed = [problem, ...problem.subproblems].map((one) => one.identifier)
  return [...new Set(blamed.filter((name) => name !== undefined))]
}

/** `rateLimited: too many certificates ...`, with the subproblems. */
export function describeProblem(problem: Problem): string {
  const nested = problem.subproblems.map(({ identifier, type, detail }) =>
    identifier === undefined ? `${type}: ${detail}` : `${identifier}: ${type}: ${detail}`,
  )
  return [`${problem.type}: ${problem.detail}`, ...nested].join('; ')
}

/** Delay in milliseconds; undefined for no header, or one that is neither seconds nor a date (RFC 9110 10.2.3). */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  const text = header.trim()
  if (/^\d+$/u.test(text)) return Number(text) * 1000
  const dateMs = /^[A-Z][a-z]{2},? /u.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(dateMs) ? undefined : Math.max(dateMs - nowMs, 0)
}
