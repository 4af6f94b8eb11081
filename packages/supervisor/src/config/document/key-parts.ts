// Finds keys with more parts than any key of a configuration can have: what reads a document later takes time that grows
// with the square of their number. Pure; looks at each character once.

/** More than the deepest key has, with room. */
const MAX_PARTS = 64
const EQUALS = 0x3d
const CLOSING = 0x5d
const DOT = 0x2e
const NEWLINE = 0x0a

/** The line, from 1, of a key such as `a.b.c` with more than 64 parts; undefined if there is none. */
export function findLongKey(text: string): number | undefined {
  let line = 1
  let dots = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === DOT) dots++
    else if (!isPartOfKey(code)) {
      // Dots that something else follows are in a string or a comment.
      if (dots >= MAX_PARTS && (code === EQUALS || code === CLOSING)) return line
      dots = 0
      if (code === NEWLINE) line++
    }
  }
  return undefined
}

/** Letters, digits, `-`, `_`, quotes, blanks, and anything beyond ASCII, which may stand in a quoted part. */
function isPartOfKey(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x2d ||
    code === 0x5f ||
    code === 0x22 ||
    code === 0x27 ||
    code === 0x20 ||
    code === 0x09 ||
    code > 0x7f
  )
}
