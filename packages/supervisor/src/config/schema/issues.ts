// Names violations of the schema and describes them to people. Every phrase comes from the schema itself, so a new key
// needs nothing here.
import {
  configIssue,
  formatPath,
  type ConfigIssue,
  type ConfigPath,
  type IssueCode,
} from '@reverse-proxy/shared/config/issues'
import type { ErrorObject } from 'ajv'
import { describeUnknownKey, nodeOf, type SchemaNode } from './view.ts'

interface PathCodes {
  /** The key is not there, or there is nothing in it. */
  readonly missing?: IssueCode
  readonly invalid?: IssueCode
}

const CODES: Readonly<Record<string, PathCodes>> = {
  listeners: { missing: 'LISTENERS_EMPTY' },
  'listeners[].http_port': { invalid: 'HTTP_PORT_INVALID' },
  'listeners[].https_port': { invalid: 'HTTPS_PORT_INVALID' },
  'listeners[].sites[].host': { missing: 'HOST_MISSING' },
  'listeners[].sites[].upstream_scheme': { invalid: 'UPSTREAM_SCHEME_INVALID' },
  'listeners[].tls.acme_domains': { missing: 'ACME_DOMAINS_EMPTY' },
}
const LIMIT = /(?:^|\.)(?:limits|rate_limit|body)\./u

export function schemaIssue(error: ErrorObject, at: ConfigPath): ConfigIssue {
  const schema = nodeOf(error.parentSchema)
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params['additionalProperty'])
      const { message, hint } = describeUnknownKey(key, Object.keys(schema.properties))
      return configIssue('KEY_UNKNOWN', [...at, key], message, hint)
    }
    case 'required': {
      const key = String(error.params['missingProperty'])
      return missingIssue([...at, key], schema.properties[key], `${key} is required`)
    }
    case 'minItems':
      return missingIssue(at, schema, `${String(at.at(-1))} is empty`)
    case 'maximum':
      return invalidIssue(at, schema, error.data, `at most ${schema.maximum}`)
    default:
      return invalidIssue(at, schema, error.data, expected(schema))
  }
}

function missingIssue(at: ConfigPath, schema: SchemaNode | undefined, message: string): ConfigIssue {
  const code = CODES[generalPath(at)]?.missing ?? 'KEY_MISSING'
  const table = generalPath(at).replaceAll('[]', '')
  if (schema?.type === 'object') {
    const keys = schema.required.map((key) => `${key} = ${JSON.stringify(schema.properties[key]?.example)}`)
    return configIssue(code, at, message, `add [${table}] with ${keys.join(' and ')}`)
  }
  if (schema?.items?.type === 'object') return configIssue(code, at, message, `add a [[${table}]] table`)
  return configIssue(code, at, message, `add ${String(at.at(-1))} = ${JSON.stringify(schema?.example)}`)
}

function invalidIssue(at: ConfigPath, schema: SchemaNode, data: unknown, wanted: string): ConfigIssue {
  const path = generalPath(at)
  const code = CODES[path]?.invalid ?? (LIMIT.test(path) ? 'LIMIT_INVALID' : 'VALUE_INVALID')
  return configIssue(code, at, `must be ${wanted}, not ${show(data)}`, invalidHint(schema, data))
}

function invalidHint(schema: SchemaNode, data: unknown): string {
  const { type, description, anyOf } = schema
  const types = [type, ...anyOf.map((alternative) => alternative.type)]
  if (type === 'string' && (typeof data === 'number' || typeof data === 'boolean'))
    return `write "${String(data)}"`
  if (
    typeof data === 'string' &&
    /^\d+$/u.test(data) &&
    types.some((one) => one === 'integer' || one === 'number')
  )
    return `write ${data}, without quotes`
  if (description === undefined) return `write ${expected(schema)}`
  const { byDefault, example } = schema
  if (byDefault !== undefined && type !== 'object')
    return `${description} Default: ${JSON.stringify(byDefault)}.`
  return example === undefined ? description : `${description} Example: ${JSON.stringify(example)}.`
}

/** `a whole number from 1 to 65535` */
function expected(schema: SchemaNode): string {
  if (schema.anyOf.length > 0) return schema.anyOf.map(expected).join(' or ')
  if (schema.enum.length > 0) {
    const values = schema.enum.map((value) => JSON.stringify(value))
    return values.length === 1 ? values.join('') : `one of ${values.join(', ')}`
  }
  switch (schema.type) {
    case 'string':
      return schema.minLength === undefined ? 'a string' : 'a string that is not empty'
    case 'boolean':
      return 'true or false'
    case 'integer':
      return `a whole number${range(schema)}`
    case 'number':
      return `a number${range(schema)}`
    case 'array':
      return schema.items?.type === 'object' ? 'an array of tables' : 'an array of strings'
    case 'object':
    case undefined:
      return 'a table'
    default:
      return schema.type
  }
}

function range({ minimum, exclusiveMinimum, maximum = Infinity }: SchemaNode): string {
  if (exclusiveMinimum !== undefined) return ` above ${exclusiveMinimum}`
  // A bound that is there only to stop nonsense would distract.
  return maximum > 65_535 ? ` of at least ${minimum}` : ` from ${minimum} to ${maximum}`
}

const SHOWN_LENGTH = 60

function show(data: unknown): string {
  if (typeof data === 'number') return String(data)
  // A string whose variable is at fault; that is reported already.
  if (data === undefined) return 'nothing'
  const text = JSON.stringify(data)
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}...` : text
}

/** `listeners[].sites[].host` */
function generalPath(at: ConfigPath): string {
  return formatPath(at).replaceAll(/\[\d+\]/gu, '[]')
}
