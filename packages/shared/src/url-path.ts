// The normal form of a URL path: what routes are matched against. A string has one character for each byte. Pure.

/** The rest is in normal form already. */
const UNUSUAL = /%|\/\/|\/\./
const ENCODED = /%([0-9a-f]{2})/gi

/** Percent-encoding decoded once, dot segments removed (RFC 3986 5.2.4), slashes merged. `path` begins with a slash. */
export function normalPath(path: string): string {
  return UNUSUAL.test(path) ? resolveSegments(decodeOnce(path)) : path
}

/** A percent sign without two hexadecimal digits stands for itself. */
export function decodeOnce(path: string): string {
  if (!path.includes('%')) return path
  return path.replace(ENCODED, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}

/** Removes dot segments and empty ones. */
export function resolveSegments(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const last = segments.at(-1)
  const isDirectory = last === '' || last === '.' || last === '..'
  return kept.length === 0 ? '/' : `/${kept.join('/')}${isDirectory ? '/' : ''}`
}

/** Encodes what may not stand in a path (RFC 3986 3.3) so that decoding it once gives `path` again. */
export function encodePath(path: string): string {
  return path.replace(
    /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
