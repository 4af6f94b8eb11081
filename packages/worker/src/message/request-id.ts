// Identifiers of requests: UUID version 7 (RFC 9562 5.7), which begin with the time and therefore sort by it.
import { randomFillSync } from 'node:crypto'

/** Random bytes for that many identifiers are made at once: the call costs more than the bytes. */
const POOLED = 256
const RANDOM_BYTES = 10
/** Another proxy's identifier: what those of the field write, and nothing that a log or a program would misread. */
const USABLE = /^[\w.:+=/@-]{1,128}$/u
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

const pool = new Uint8Array(POOLED * RANDOM_BYTES)
let used = pool.length

/** @param nowMs since 1970 */
export function newRequestId(nowMs: number): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const at = used
  used += RANDOM_BYTES
  const time = nowMs.toString(16).padStart(12, '0')
  const hex = (i: number): string => HEX[pool[at + i]!]!
  const version = HEX[0x70 | (pool[at]! & 0x0f)]!
  const variant = HEX[0x80 | (pool[at + 2]! & 0x3f)]!
  return (
    `${time.slice(0, 8)}-${time.slice(8)}-${version}${hex(1)}-${variant}${hex(3)}-` +
    `${hex(4)}${hex(5)}${hex(6)}${hex(7)}${hex(8)}${hex(9)}`
  )
}

/** @param values of X-Request-Id, as a trusted proxy sent them */
export function usableRequestId(values: readonly string[]): string | undefined {
  const [only = ''] = values
  return values.length === 1 && USABLE.test(only) ? only : undefined
}
