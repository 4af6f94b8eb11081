// RFC 9110 5.5: visible ASCII, space, tab and bytes beyond ASCII, which stand for whatever both ends agree on.
// Anything else in a field's value could end its line for somebody.
const UNSAFE = /[^\t\u0020-\u007e\u0080-\u00ff]/
// So many digits that a number still has each of them.
const CONTENT_LENGTH = /^[0-9]{1,15}$/

/** @param value a character for each byte */
export function isFieldValue(value: string): boolean {
  return !UNSAFE.test(value)
}

/** RFC 9112 6.2: digits alone. */
export function isContentLength(value: string): boolean {
  return CONTENT_LENGTH.test(value)
}
