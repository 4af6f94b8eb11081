// Parses the target of a redirect, and which part of the request is appended to it. Pure.
import type { RedirectAction } from '../config.ts'

interface RedirectFault {
  readonly message: string
  readonly hint: string
}

// RFC 3986 2: the characters that a URL may have without encoding.
const VISIBLE = /^[!#-;=?-[\]_a-z~]+$/u
const ABSOLUTE = /^https?:\/\/[^/?#@\s]+(?<rest>[/?#].*)?$/iu

/** @returns the parsed target in one of three forms, or the fault */
export function parseRedirect(text: string): Pick<RedirectAction, 'target' | 'keeps'> | RedirectFault {
  const shape = 'write an absolute URL such as "https://example.com", or a path such as "/new/*"'
  if (!VISIBLE.test(text)) {
    return { message: `"${text}" has a character that is not allowed in a URL`, hint: 'percent-encode it' }
  }
  const absolute = ABSOLUTE.exec(text)
  if (absolute === null && !/^\/(?![/\\])/u.test(text)) {
    return { message: `"${text}" is neither an absolute URL nor a path`, hint: shape }
  }
  const star = text.indexOf('*')
  if (star !== -1) {
    if (star === text.length - 1 && text.endsWith('/*')) return { target: text.slice(0, -1), keeps: 'rest' }
    return { message: `"${text}" has a * that is not behind a slash at the end`, hint: 'write "/new/*"' }
  }
  if (absolute !== null && absolute.groups?.['rest'] === undefined) return { target: text, keeps: 'path' }
  return { target: text, keeps: 'nothing' }
}
