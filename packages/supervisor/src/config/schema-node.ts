// The few keywords of JSON Schema that configSchema uses, as a typed view of one node. It is read
// from `unknown`, because ajv hands schemas back untyped.

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
