// RFC 9110 5.5: visible ASCII, space, tab and bytes beyond ASCII, whose meaning both ends agree on. To some parser, any
// other byte in a value could end its line.
const UNSAFE = /[^\t\u0020-\u007e\u0080-\u00ff]/
// The most digits that a number represents exactly.
const CONTENT_LENGTH = /^[0-9]{1,15}$/

/** @param value a character for each byte */
export function isFieldValue(value: string): boolean {
  return !UNSAFE.test(value)
}

/** RFC 9112 6.2: digits alone. */
export function isContentLength(value: string): boolean {
  return CONTENT_LENGTH.test(value)
}
