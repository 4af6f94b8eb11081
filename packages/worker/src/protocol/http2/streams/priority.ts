// How urgent a response is (RFC 9218): the `priority` field and PRIORITY_UPDATE, as one small number. Pure.

/** Urgency in the upper bits, 0 (first) to 7; the lowest bit is `incremental`: it may take turns with others. */
export type Priority = number

export const URGENCIES = 8
const DEFAULT_URGENCY = 3
/** Without a priority of the client, responses take turns, which is fair to all. */
export const DEFAULT_PRIORITY: Priority = DEFAULT_URGENCY * 2 + 1
const MAX_TEXT = 256
// RFC 8941 3.2 and 4.2, for the two members that have a meaning. The last of several counts.
const URGENCY = /^u=([0-7])(?:;.*)?$/
const INCREMENTAL = /^i(?:=\?([01]))?(?:;.*)?$/

export function urgencyOf(priority: Priority): number {
  return priority >> 1
}

export function isIncremental(priority: Priority): boolean {
  return (priority & 1) === 1
}

/** @param text the value of the field; invalid members are ignored */
export function parsePriority(text: string): Priority {
  let urgency = DEFAULT_URGENCY
  let incremental = 0
  if (text.length > MAX_TEXT) return DEFAULT_PRIORITY
  for (const member of text.split(',')) {
    const trimmed = member.trim()
    urgency = Number(URGENCY.exec(trimmed)?.[1] ?? urgency)
    const match = INCREMENTAL.exec(trimmed)
    if (match !== null) incremental = match[1] === '0' ? 0 : 1
  }
  return urgency * 2 + incremental
}
