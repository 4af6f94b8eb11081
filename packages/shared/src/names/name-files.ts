// Reads /etc/hosts and /etc/resolv.conf (hosts(5), resolv.conf(5)), because Node's DNS client only queries name servers
// for complete names. Pure except for `readWhenChanged`.
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { codeOf } from '../error-text.ts'

export interface SearchRules {
  /** Domains that complete a name, without a dot at the end. */
  readonly search: readonly string[]
  /** A name with fewer dots is completed first and queried as it is last. */
  readonly ndots: number
}

const MAX_NDOTS = 15
const MAX_SEARCH_DOMAINS = 32

/** Addresses by name in lower case, in the order of the file. */
export function parseHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const byName = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = wordsOf(line)
    if (isIP(address) === 0) continue
    for (const name of names) {
      const key = name.toLowerCase()
      const addresses = byName.get(key)
      if (addresses === undefined) byName.set(key, [address])
      else if (!addresses.includes(address)) addresses.push(address)
    }
  }
  return byName
}

/** The last `search` or `domain` line applies. */
export function parseResolvConf(text: string): SearchRules {
  let search: readonly string[] = []
  let ndots = 1
  for (const line of text.split('\n')) {
    const [keyword, ...values] = wordsOf(line.replace(/;.*/u, ''))
    if (keyword === 'search') search = values
    else if (keyword === 'domain') search = values.slice(0, 1)
    else if (keyword === 'options') {
      for (const value of values) {
        const digits = /^ndots:([0-9]+)$/u.exec(value)?.[1]
        if (digits !== undefined) ndots = Math.min(Number(digits), MAX_NDOTS)
      }
    }
  }
  const domains = search.map((domain) => domain.replace(/\.$/u, '')).filter((domain) => domain !== '')
  return { search: domains.slice(0, MAX_SEARCH_DOMAINS), ndots }
}

/** The complete names to query, in the order of the system's resolver. A name with a dot at its end is complete. */
export function candidatesFor(name: string, { search, ndots }: SearchRules): string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)]
  const completed = search.map((domain) => `${name}.${domain}`)
  const dots = name.split('.').length - 1
  return dots >= ndots ? [name, ...completed] : [...completed, name]
}

/**
 * Parses a file again only when it has changed. A missing file counts as empty. If the file cannot be read for another
 * reason, such as a lack of descriptors, the last content applies.
 */
export function readWhenChanged<T>(path: string, parse: (text: string) => T): () => T {
  let state = ''
  let parsed = parse('')
  return () => {
    try {
      const { mtimeMs, size, ino } = statSync(path)
      const now = `${mtimeMs} ${size} ${ino}`
      if (now !== state) parsed = parse(readFileSync(path, 'utf8'))
      state = now
    } catch (error) {
      state = ''
      if (codeOf(error) === 'ENOENT') parsed = parse('')
    }
    return parsed
  }
}

function wordsOf(line: string): string[] {
  return line
    .replace(/#.*/u, '')
    .split(/\s+/u)
    .filter((word) => word !== '')
}
