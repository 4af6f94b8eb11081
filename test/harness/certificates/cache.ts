// What lies in a cache directory, looked at from outside: without the program's own reading of it.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'

/** Serial numbers of the complete generations, each with a key that matches its certificate. */
export function completeSerials(cacheDir: string): string[] {
  const generations = join(cacheDir, 'generations')
  if (!existsSync(generations)) return []
  return readdirSync(generations).flatMap((name) => {
    if (name.startsWith('.')) return []
    const [certPem, keyPem] = ['cert.pem', 'key.pem'].map((file) =>
      readFileSync(join(generations, name, file), 'utf8'),
    )
    return [serialOfPair(certPem ?? '', keyPem ?? '')]
  })
}

/** Throws unless the key is that of the first certificate, and the time is within its dates. */
export function serialOfPair(certPem: string, keyPem: string): string {
  const leaf = new X509Certificate(certPem)
  if (!leaf.checkPrivateKey(createPrivateKey(keyPem))) throw new Error('the key does not match')
  const now = new Date()
  if (now < leaf.validFromDate || now > leaf.validToDate) throw new Error('it is not valid now')
  return leaf.serialNumber
}

/** What others could read or change. */
export function openToOthers(cacheDir: string): string[] {
  return entriesOf(cacheDir).filter((path) => {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    const expected = stats?.isDirectory() === true ? 0o700 : 0o600
    return stats !== undefined && !stats.isSymbolicLink() && (stats.mode & 0o777) !== expected
  })
}

/** Locks, temporary files, and generations beyond the two that are kept. */
export function leftovers(cacheDir: string): string[] {
  const names = entriesOf(cacheDir).map((path) => path.slice(cacheDir.length + 1))
  const temporary = names.filter((name) => name.startsWith('lock') || name.endsWith('.new'))
  return [...temporary, ...readdirSync(join(cacheDir, 'generations')).toSorted().slice(0, -2)]
}

/** What has been put aside. */
export function quarantined(cacheDir: string): string[] {
  const directory = join(cacheDir, 'quarantine')
  return existsSync(directory) ? readdirSync(directory) : []
}

function entriesOf(directory: string): string[] {
  if (!existsSync(directory)) return []
  try {
    const below = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    return [directory, ...below.map((name) => join(directory, name))]
  } catch (error) {
    // Of a process that ends its work, such as the lock.
    if (codeOf(error) === 'ENOENT') return entriesOf(directory)
    throw error
  }
}
