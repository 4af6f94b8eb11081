// Inheritance between the tables that share their keys: [defaults], a site, a route. Pure.

/** A table has at most one of them. The one of an inner table replaces that of the outer table. */
export const ACTION_KEYS = ['upstream', 'redirect', 'respond'] as const

/** Adds to `inner` the keys that only `outer` has. Merges sub-tables key by key, except actions. */
export function inherit<Outer extends object, Inner extends object>(
  outer: Outer,
  inner: Inner,
): Outer & Inner {
  const merged: Record<string, unknown> = Object.fromEntries(Object.entries(outer))
  if (ACTION_KEYS.some((key) => Object.hasOwn(inner, key))) for (const key of ACTION_KEYS) delete merged[key]
  for (const [key, value] of Object.entries(inner)) {
    const inherited = merged[key]
    merged[key] = isTable(inherited) && isTable(value) ? { ...inherited, ...value } : value
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each key is from one of the two
  return merged as Outer & Inner
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
