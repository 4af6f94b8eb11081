// SPEC 10: no message over the admin socket names a path of this machine. Whatever an error text or a
// report brings along is taken out here, last, wherever it came from.

// `'/a b/c'` or `"/a b/c"`, as the runtime quotes paths; or an absolute path where a word could begin.
// Not the slashes of a URL: those follow a colon and each other, or a host name.
const PATHS =
  /(?<quote>['"])\/(?:(?!\k<quote>).)*\k<quote>|(?<![\w/.*\])-])(?:\/(?!\/)|(?<!:)\/{2,})[^\s'"<>()[\]{},;:]+/gu

const PLACEHOLDER = '(path)'

/** A copy of a JSON value in which no text holds an absolute path. */
export function withoutPaths(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(PATHS, PLACEHOLDER)
  if (Array.isArray(value)) return value.map(withoutPaths)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withoutPaths(field)]))
}
