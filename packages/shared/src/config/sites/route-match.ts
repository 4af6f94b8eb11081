// The conditions of a route in the form in which they are compared. Says whether two routes exclude each other. Pure.
import type { FieldCondition, RouteMatch } from '../config.ts'
import type { RouteFile, Valid } from '../schema.ts'

type Conditions = Pick<Valid<RouteFile>, 'methods' | 'match_headers' | 'match_query'>

export function toRouteMatch(path: string, file: Conditions): RouteMatch {
  return {
    path: toBytes(path),
    methods: [...new Set(file.methods)].filter((method) => method !== undefined),
    headers: toConditions(file.match_headers, (name) => name.toLowerCase()),
    query: toConditions(file.match_query, toBytes),
  }
}

function toConditions(
  table: Valid<RouteFile['match_headers']>,
  toName: (name: string) => string,
): FieldCondition[] {
  return Object.entries(table ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([name, value = '']) => ({ name: toName(name), value: value === '*' ? undefined : toBytes(value) }))
}

/** UTF-8, a character for each byte. */
function toBytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text))
}

/** Among routes with the same path, the one with the most conditions wins. */
export function conditionCount({ methods, headers, query }: RouteMatch): number {
  return (methods.length > 0 ? 1 : 0) + headers.length + query.length
}

/** True if no request meets the conditions of both. */
export function canTellApart(a: RouteMatch, b: RouteMatch): boolean {
  const hasMethods = a.methods.length > 0 && b.methods.length > 0
  if (hasMethods && !a.methods.some((method) => b.methods.includes(method))) return true
  return isExclusive(a.headers, b.headers) || isExclusive(a.query, b.query)
}

function isExclusive(a: readonly FieldCondition[], b: readonly FieldCondition[]): boolean {
  return a.some(({ name, value }) =>
    b.some(
      (other) =>
        name === other.name && value !== undefined && other.value !== undefined && value !== other.value,
    ),
  )
}
