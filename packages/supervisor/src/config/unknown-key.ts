// Rule 22: what somebody who wrote a key that does not exist may have meant.
import { configSchema } from '@reverse-proxy/shared/config/schema'
import { distance } from 'fastest-levenshtein'
import { nodeOf, type SchemaNode } from './schema-node.ts'

const TABLES_BY_KEY = indexTables(nodeOf(configSchema))

/** `known`: the keys that the table has. */
export function describeUnknownKey(key: string, known: readonly string[]): { message: string; hint: string } {
  const message = `unknown key "${key}"`
  const tables = TABLES_BY_KEY.get(key)
  if (tables !== undefined) return { message, hint: `${key} belongs ${tables.join(' or ')}` }
  const close = closest(key, known)
  if (close !== undefined) return { message, hint: `did you mean "${close}"?` }
  return { message, hint: `remove it; known here: ${known.join(', ')}` }
}

function closest(key: string, known: readonly string[]): string | undefined {
  // httpPort and http-port are http_port in another dress.
  const plain = key
    .replaceAll(/([a-z\d])([A-Z])/gu, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase()
  // Two letters swapped are a distance of 2.
  const bound = Math.max(plain.length < 5 ? 1 : 2, Math.floor(plain.length / 3))
  const [best] = known
    .map((candidate) => ({ candidate, distance: distance(plain, candidate) }))
    .filter((entry) => entry.distance <= bound)
    .toSorted((a, b) => a.distance - b.distance)
  return best?.candidate ?? containing(plain, known)
}

/** `challenge` for acme_challenge, state_directory for `state_dir`. */
function containing(key: string, known: readonly string[]): string | undefined {
  if (key.length < 4) return undefined
  const found = known.filter((candidate) => candidate.includes(key) || key.includes(candidate))
  return found.length === 1 ? found[0] : undefined
}

/** Every key of the schema with the tables it belongs to, as `in [listeners.tls]`. */
function indexTables(root: SchemaNode): Map<string, string[]> {
  const index = new Map<string, string[]>()
  const visit = (node: SchemaNode, table: string, isArray: boolean) => {
    const place = placeOf(table, isArray)
    for (const [key, child] of Object.entries(node.properties)) {
      index.set(key, [...(index.get(key) ?? []), place])
      const path = table === '' ? key : `${table}.${key}`
      if (child.type === 'object') visit(child, path, false)
      else if (child.items?.type === 'object') visit(child.items, path, true)
    }
  }
  visit(root, '', false)
  return index
}

function placeOf(table: string, isArray: boolean): string {
  if (table === '') return 'at the top of the file, before the first [table]'
  return isArray ? `in [[${table}]]` : `in [${table}]`
}
