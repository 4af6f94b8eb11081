// Header fields that a configuration sets: which names and values are allowed, and the placeholders in values. Pure.
import { isToken } from '../../http-token.ts'

export const PLACEHOLDERS = ['client_ip', 'host', 'scheme', 'request_id'] as const
export type Placeholder = (typeof PLACEHOLDERS)[number]

/** A piece of a value: text, or a placeholder. */
export type TemplatePart = string | { readonly placeholder: Placeholder }

const FIELD_VALUE = /^[\t\u0020-\u007e]*$/u
const BRACED = /\{([a-z_]+)\}/u

// RFC 9110 7.6.1, and what frames a message: the proxy writes them itself.
const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const FORWARDING: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
])

interface HeaderFault {
  readonly message: string
  readonly hint: string
}

export type HeaderUse = 'request' | 'response'

/** Checks a field that is set or removed. @returns undefined if nothing is wrong with it */
export function headerFault(name: string, value: string, use: HeaderUse): HeaderFault | undefined {
  const lowerName = name.toLowerCase()
  if (!isToken(name)) {
    return { message: `"${name}" is not a name of a header field`, hint: 'write letters, digits and hyphens' }
  }
  if (FRAMING.has(lowerName)) {
    return { message: `${name} belongs to the connection: the proxy writes it`, hint: `remove ${name}` }
  }
  if (use === 'request' && FORWARDING.has(lowerName)) {
    return {
      message: `${name} says where a request comes from: the proxy writes it`,
      hint: `remove ${name}`,
    }
  }
  if (use === 'request' && lowerName === 'host' && value === '') {
    return { message: 'a request cannot do without Host', hint: 'write a name, or remove Host' }
  }
  if (!FIELD_VALUE.test(value)) {
    return { message: `the value of ${name} has a character beyond ASCII, or a line end`, hint: 'encode it' }
  }
  const unknown = parseTemplate(value).find((part) => typeof part === 'string' && BRACED.test(part))
  if (typeof unknown !== 'string') return undefined
  const known = PLACEHOLDERS.map((placeholder) => `{${placeholder}}`).join(', ')
  return { message: `${BRACED.exec(unknown)?.[0]} is not a placeholder`, hint: `known are ${known}` }
}

/** Splits a value into its pieces, in order. Text that is no placeholder stays as it is. */
export function parseTemplate(value: string): readonly TemplatePart[] {
  return value
    .split(/(\{(?:client_ip|host|scheme|request_id)\})/u)
    .filter((piece) => piece !== '')
    .map((piece) => {
      const placeholder = PLACEHOLDERS.find((name) => piece === `{${name}}`)
      return placeholder === undefined ? piece : { placeholder }
    })
}
