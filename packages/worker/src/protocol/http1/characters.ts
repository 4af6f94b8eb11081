// Classes of bytes in messages of HTTP/1. One look-up for each byte read.

const TAB = 0x09
export const LF = 0x0a
export const CR = 0x0d
export const SPACE = 0x20
export const QUOTE = 0x22
const DASH = 0x2d
export const DIGIT_0 = 0x30
export const COLON = 0x3a
export const SEMICOLON = 0x3b
export const EQUALS = 0x3d
export const BACKSLASH = 0x5c

/**
 * RFC 9110 5.6.2: for a byte of a token its lower-case form, else 0. An underscore becomes a dash: CGI and WSGI spell both
 * alike, so that a name has to be recognised in either spelling.
 */
export const TOKEN = new Uint8Array(256)
/** RFC 9110 5.5: 1 for a byte that a field value may have: visible ASCII, space, tab and bytes beyond ASCII. */
export const VALUE = new Uint8Array(256)
/** 1 for a byte of a request target: visible ASCII. */
export const TARGET = new Uint8Array(256)
/** The value of a hexadecimal digit plus one, else 0. */
export const HEX = new Uint8Array(256)

for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN[char.charCodeAt(0)] = char === '_' ? DASH : char.toLowerCase().charCodeAt(0)
}
VALUE[TAB] = 1
for (let byte = 0x20; byte <= 0xff; byte++) if (byte !== 0x7f) VALUE[byte] = 1
for (let byte = 0x21; byte <= 0x7e; byte++) TARGET[byte] = 1
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16)
  HEX[digit.charCodeAt(0)] = value + 1
  HEX[digit.toUpperCase().charCodeAt(0)] = value + 1
}

/** RFC 9110 5.6.3: the white space that may stand within a line. */
export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB
}

/** The hash of a name, byte by byte, from `TOKEN`; 0 to begin with. */
export function hashOn(hash: number, lowerByte: number): number {
  return (Math.imul(hash, 31) + lowerByte) | 0
}

export function hashOf(lowerName: string): number {
  let hash = 0
  for (let i = 0; i < lowerName.length; i++) hash = hashOn(hash, lowerName.charCodeAt(i))
  return hash
}
