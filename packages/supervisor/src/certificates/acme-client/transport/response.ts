// Reads responses of a CA, and knows hints for its errors. Every byte of a response is hostile.
import type { Problem } from './problem.ts'
import { parseRetryAfter } from './problem.ts'

/** As the HTTP client leaves it: header names in lower case. */
export interface RawResponse {
  readonly status: number
  readonly data: unknown
  readonly headers: Readonly<Record<string, unknown>>
}

export interface AcmeResponse {
  readonly data: unknown
  /** Absolute; where a resource was created. */
  readonly location: string | undefined
  readonly retryAfterMs: number | undefined
  /** RFC 8555 7.4.2: other chains for the same certificate. */
  readonly alternateUrls: readonly string[]
  /** RFC 9110 6.6.1: the CA's time; undefined if it does not tell. */
  readonly dateMs: number | undefined
}

/** `url` is what was asked for: links may be relative to it (RFC 9110 10.2.2, RFC 8288 3.2). */
export function responseOf(answer: RawResponse, url: string, nowMs: number): AcmeResponse {
  const location = headerOf(answer, 'location')
  return {
    data: answer.data,
    location: location === undefined ? undefined : absoluteUrl(location, url),
    retryAfterMs: retryAfterMsOf(answer, nowMs),
    alternateUrls: parseAlternates(headerOf(answer, 'link')).map((link) => absoluteUrl(link, url)),
    dateMs: dateMsOf(answer),
  }
}

/** Returns a reference that cannot be parsed unchanged; using it fails with an error. */
export function absoluteUrl(reference: string, base: string): string {
  return URL.parse(reference, base)?.href ?? reference
}

export function retryAfterMsOf(answer: RawResponse, nowMs: number): number | undefined {
  return parseRetryAfter(headerOf(answer, 'retry-after'), nowMs)
}

export function dateMsOf(answer: RawResponse): number | undefined {
  const dateMs = Date.parse(headerOf(answer, 'date') ?? '')
  return Number.isNaN(dateMs) ? undefined : dateMs
}

/** Undefined for one that is missing, or stands there several times. */
export function headerOf({ headers }: RawResponse, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}

function parseAlternates(link: string | undefined): string[] {
  const urls: string[] = []
  for (const [, url, parameters] of (link ?? '').matchAll(/<([^>]*)>([^<]*)/gu)) {
    if (url !== undefined && /;\s*rel="?alternate"?/iu.test(parameters ?? '')) urls.push(url)
  }
  return urls
}

/** A hint for an error of the CA, if one is known. */
export function hintFor({ type }: Problem): string | undefined {
  return HINTS.get(type)
}

const CONTACT = 'tls.acme_contact must be an address that the CA accepts'
const HINTS = new Map([
  ['rateLimited', 'wait as the CA asks; to try things out use tls.acme_directory = "staging"'],
  ['rejectedIdentifier', 'the CA issues no certificate for this name: take it out of tls.acme_domains'],
  ['caa', "the name's CAA record does not allow this CA"],
  ['invalidContact', CONTACT],
  ['unsupportedContact', CONTACT],
  [
    'externalAccountRequired',
    'this CA wants tls.acme_eab_kid and tls.acme_eab_hmac_file, which it gives to its customers',
  ],
  ['userActionRequired', "the CA's terms have changed: see the address in its message"],
])

/** About an exchange that did not come to an answer; `code` is the error's. */
export function connectionHint(code: string): string {
  if (/CERT_(?:HAS_EXPIRED|NOT_YET_VALID)/u.test(code)) {
    return "its certificate is not valid at this time: is this machine's clock right (NTP)?"
  }
  return /CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)/u.test(code)
    ? "its certificate is not trusted here: for a CA of your own set tls.acme_ca_file to that server's root"
    : 'check tls.acme_directory, and that this machine may connect to it (DNS, firewall)'
}
