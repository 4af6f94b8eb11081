// The error for a response that breaks a rule of HTTP: it names the rule and keeps the offending bytes for the log. Pure.
import { ProxyError } from '@reverse-proxy/shared/errors'

/** The name of such a response in the log. */
export const BAD_RESPONSE = 'bad response'

const MAX_EXCERPT_CHARS = 80
const UNPRINTABLE = /[^\u0020-\u007e]|\\/g

/** The bytes that broke a rule, as the cause of the error. */
class Offence {
  readonly excerpt: string

  constructor(excerpt: string) {
    this.excerpt = excerpt
  }
}

/**
 * @param rule the rule that the response breaks, in a few stable words
 * @param offending the text that breaks it, a character for each byte; the log at debug level has its beginning
 */
export function badResponse(rule: string, offending?: string): ProxyError {
  const cause = offending === undefined ? undefined : new Offence(escaped(offending))
  return new ProxyError('UPSTREAM_PROTOCOL', `${BAD_RESPONSE}: ${rule}`, { cause })
}

/** The offending bytes of a response, escaped and shortened; undefined if the error is another one. */
export function excerptOf(error: unknown): string | undefined {
  return error instanceof ProxyError && error.cause instanceof Offence ? error.cause.excerpt : undefined
}

function escaped(text: string): string {
  return text
    .slice(0, MAX_EXCERPT_CHARS)
    .replace(UNPRINTABLE, (char) =>
      char === '\\' ? '\\\\' : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
}
