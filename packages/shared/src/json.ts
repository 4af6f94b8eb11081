// Reads JSON from untrusted sources.

/** The last date of ECMAScript. */
const LAST_DATE_MS = 8.64e15

/** @returns undefined if `text` is not a JSON object */
export function parseRecord(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

export function isTime(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= LAST_DATE_MS
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
