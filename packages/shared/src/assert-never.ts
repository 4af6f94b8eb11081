// Closes every switch over a union: a case forgotten does not compile.

export function assertNever(value: never): never {
  throw new TypeError(`unexpected value: ${JSON.stringify(value)}`)
}
