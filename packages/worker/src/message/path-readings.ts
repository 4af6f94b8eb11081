// The readings of a path by servers that decode and remove other things than our normal form does. A request is rejected
// if one of them could bypass the route that guards the resource. Pure.
import { decodeOnce, resolveSegments } from '@reverse-proxy/shared/url-path'

/** All servers read a path without any of these in the same way. */
const UNUSUAL = /%|[\\;]|\/\/|\/\./
const ENCODED_PERCENT = /%25/
const ENCODED_SLASH = /%2f/gi
const ENCODED_NUL = /%(?:25)*00/
/** Stands for an encoded slash that a server leaves encoded. No other path has it, because NUL is rejected. */
const OPAQUE_SLASH = '\0'
/** Servers in a chain may each decode once. */
const MOST_DECODINGS = 3

export interface PathReadings {
  /** Each must lead to the same route as the normal form. */
  readonly others: ReadonlySet<string>
  /**
   * The path for a server that removes or decodes nothing, or does so in the other order. To such a server it is an
   * unknown path, unless it begins with the path of a route.
   */
  readonly literals: ReadonlySet<string>
}

const NONE: ReadonlySet<string> = new Set()
const ONE_READING: PathReadings = { others: NONE, literals: NONE }

/** @returns undefined for a path with an encoded NUL, which ends the path for many programs */
export function readingsOf(path: string): PathReadings | undefined {
  if (!UNUSUAL.test(path)) return ONE_READING
  if (ENCODED_NUL.test(path)) return undefined
  const others = new Set<string>()
  const times = ENCODED_PERCENT.test(path) ? MOST_DECODINGS : 1
  for (const start of withAndWithout(path, withoutParameters)) {
    for (const decoded of decodingsOf(start, times)) {
      for (const whole of withAndWithout(decoded, withoutParameters)) {
        for (const slashed of withAndWithout(whole, withoutBackslashes)) {
          // Again: a backslash may have ended a parameter.
          for (const bare of withAndWithout(slashed, withoutParameters)) {
            for (const cut of withAndWithout(bare, withoutQuery)) others.add(resolveSegments(cut))
          }
        }
      }
    }
  }
  const undecoded = resolveSegments(path)
  return { others, literals: new Set([path, decodeOnce(path), undecoded, decodeOnce(undecoded)]) }
}

/** The readings after each decoding, with encoded slashes decoded, and with encoded slashes left as they are. */
function decodingsOf(path: string, times: number): Set<string> {
  const found = new Set<string>()
  let open = new Set([path])
  for (let time = 0; time < times; time++) {
    const next = new Set<string>()
    for (const one of open) {
      next.add(decodeOnce(one))
      next.add(decodeOnce(one.replace(ENCODED_SLASH, OPAQUE_SLASH)))
    }
    for (const one of next) found.add(one)
    open = next
  }
  return found
}

function* withAndWithout(path: string, remove: (path: string) => string): Generator<string> {
  yield path
  const removed = remove(path)
  if (removed !== path) yield removed
}

/** RFC 3986 3.3: some servers remove `;x` from each segment, and read `..;x` as `..`. */
function withoutParameters(path: string): string {
  return path.includes(';') ? path.replace(/;[^/]*/g, '') : path
}

function withoutBackslashes(path: string): string {
  return path.includes('\\') ? path.replaceAll('\\', '/') : path
}

/** The reading of a server that decodes before it separates the query. */
function withoutQuery(path: string): string {
  return path.replace(/[?#].*$/s, '')
}
