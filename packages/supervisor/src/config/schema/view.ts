// A typed view of configSchema, and suggestions for keys that it does not have. Ajv returns schemas untyped, so every
// node is read from `unknown`, with the few keywords of JSON Schema that configSchema uses. Pure.
import { configSchema } from '@reverse-proxy/shared/config/schema'
import { distance } from 'fastest-levenshtein'

export interface SchemaNode {
  readonly type: string | undefined
  readonly description: string | undefined
  readonly byDefault: unknown
  /** The first of its examples. */
  readonly example: unknown
  readonly enum: readonly unknown[]
  readonly anyOf: readonly SchemaNode[]
  readonly properties: Readonly<Record<string, SchemaNode>>
  readonly required: readonly string[]
  readonly items: SchemaNode | undefined
  readonly minLength: number | undefined
  readonly minimum: number | undefined
  readonly exclusiveMinimum: number | undefined
  readonly maximum: number | undefined
}

export function nodeOf(schema: unknown): SchemaNode {
  const keywords = isRecord(schema) ? schema : {}
  const text = (name: string) => (typeof keywords[name] === 'string' ? keywords[name] : undefined)
  const number = (name: string) => (typeof keywords[name] === 'number' ? keywords[name] : undefined)
  return {
    type: text('type'),
    description: text('description'),
    byDefault: keywords['default'],
    example: listOf(keywords['examples'])[0],
    enum: listOf(keywords['enum']),
    anyOf: listOf(keywords['anyOf']).map(nodeOf),
    properties: propertiesOf(keywords['properties']),
    required: listOf(keywords['required']).map(String),
    items: isRecord(keywords['items']) ? nodeOf(keywords['items']) : undefined,
    minLength: number('minLength'),
    minimum: number('minimum'),
    exclusiveMinimum: number('exclusiveMinimum'),
    maximum: number('maximum'),
  }
}

function propertiesOf(properties: unknown): Record<string, SchemaNode> {
  if (!isRecord(properties)) return {}
  return Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, nodeOf(schema)]))
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const TABLES_BY_KEY = indexTables(nodeOf(configSchema))

/** Suggests what an unknown key may have been meant to be. @param known the keys of the table */
export function describeUnknownKey(key: string, known: readonly string[]): { message: string; hint: string } {
  const message = `unknown key "${key}"`
  const tables = TABLES_BY_KEY.get(key)
  if (tables !== undefined) return { message, hint: `${key} belongs ${tables.join(' or ')}` }
  const close = closest(key, known)
  if (close !== undefined) return { message, hint: `did you mean "${close}"?` }
  return { message, hint: `remove it; known here: ${known.join(', ')}` }
}

function closest(key: string, known: readonly string[]): string | undefined {
  // httpPort and http-port are spellings of http_port.
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
