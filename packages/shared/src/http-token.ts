// Tokens of HTTP: methods, names of header fields, options. Pure.

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** RFC 9110 5.6.2. */
export function isToken(text: string): boolean {
  return TOKEN.test(text)
}
