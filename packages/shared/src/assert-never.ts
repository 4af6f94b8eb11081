// Ends every switch over a union: a missing case does not compile.

export function assertNever(value: never): never {
  throw new TypeError(`unexpected value: ${JSON.stringify(value)}`)
}
