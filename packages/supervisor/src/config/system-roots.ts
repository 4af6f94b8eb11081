// The certificates that this machine believes, for workers, which read no files.
import { getCACertificates } from 'node:tls'

let found: readonly string[] | undefined

/** PEM. As they were when first asked for: the runtime reads them once. */
export function systemRoots(): readonly string[] {
  found ??= readRoots()
  return found
}

function readRoots(): readonly string[] {
  // A bundle and a directory hold the same ones.
  const system = new Set(getCACertificates('system'))
  // A machine without any, as some images are, gets those that the runtime brings.
  return system.size > 0 ? [...system] : getCACertificates('bundled')
}
