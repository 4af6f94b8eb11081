// A document against the schema: defaults filled in, every breach an issue, and what is left when
// the breaches are taken out, so that the rules can go on.
import type { ConfigIssue, ConfigPath } from '@reverse-proxy/shared/config/issues'
import { configSchema, type ConfigFile, type Valid } from '@reverse-proxy/shared/config/schema'
import { Ajv, type ErrorObject } from 'ajv'
import { schemaIssue } from './issues.ts'

export interface CheckedDocument {
  readonly issues: readonly ConfigIssue[]
  readonly valid: Valid<ConfigFile>
  /** The whole file; undefined when there are issues. */
  readonly complete: ConfigFile | undefined
}

const validate = new Ajv({
  allErrors: true,
  strict: true,
  useDefaults: true,
  verbose: true,
}).compile<ConfigFile>(configSchema)

/** `document` is the caller's to give away: defaults are written into it, breaches taken out. */
export function checkDocument(document: unknown): CheckedDocument {
  if (validate(document)) return { issues: [], valid: document, complete: document }
  const errors = withoutBranches(validate.errors ?? [])
  const issues = new Map<string, ConfigIssue>()
  for (const error of errors) {
    const issue = schemaIssue(error, pathOf(document, error.instancePath))
    // One value can break several keywords; it is one mistake.
    if (!issues.has(issue.path)) issues.set(issue.path, issue)
  }
  takeOut(document, errors)
  return { issues: [...issues.values()], valid: document, complete: undefined }
}

/** A union reports itself and each of its branches: the union alone says it all. */
function withoutBranches(errors: readonly ErrorObject[]): ErrorObject[] {
  const unions = errors.filter(({ keyword }) => keyword === 'anyOf').map(({ schemaPath }) => `${schemaPath}/`)
  return errors.filter(({ schemaPath }) => !unions.some((union) => schemaPath.startsWith(union)))
}

/** Makes every value that breaks the schema undefined; keys and indexes stay. */
function takeOut(document: unknown, errors: readonly ErrorObject[]): asserts document is Valid<ConfigFile> {
  for (const { keyword, instancePath } of errors) {
    // These are about what is not there or should not be; the container itself is sound.
    if (keyword === 'required' || keyword === 'additionalProperties' || keyword === 'minItems') continue
    const at = pathOf(document, instancePath)
    const key = at.at(-1)
    const owner = at.slice(0, -1).reduce(member, document)
    if (key !== undefined && isContainer(owner)) owner[key] = undefined
  }
}

/** RFC 6901. */
function pathOf(document: unknown, pointer: string): ConfigPath {
  const at: (string | number)[] = []
  let value = document
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~')
    const key = Array.isArray(value) ? Number(name) : name
    at.push(key)
    value = member(value, key)
  }
  return at
}

function member(value: unknown, key: string | number): unknown {
  return isContainer(value) ? value[key] : undefined
}

function isContainer(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null
}
