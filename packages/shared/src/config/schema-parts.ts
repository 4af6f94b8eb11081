// Building blocks of the schema of the configuration file: tables, and kinds of values.
import { Type, type TProperties, type TSchema, type TSchemaOptions } from 'typebox'

/** Node's timers end at 2^31 - 1 ms. */
export const SECONDS_MAX = 2_147_483
const COUNT_MAX = 1_000_000_000

/** A TOML table. A key with a default need not be written; after validation it is always present. */
export function table<Keys extends TProperties>(keys: Keys, options: TSchemaOptions = {}) {
  const required = Object.keys(keys).filter((key) => isRequired(keys[key]))
  return Type.Object(keys, { additionalProperties: false, required, ...options })
}

function isRequired(schema: TSchema | undefined): boolean {
  return !Type.IsOptional(schema) && !Object.hasOwn(schema ?? {}, 'default')
}

export function seconds(description: string, byDefault: number) {
  return Type.Number({ exclusiveMinimum: 0, maximum: SECONDS_MAX, default: byDefault, description })
}

export function count(description: string, byDefault: number) {
  return Type.Integer({ minimum: 1, maximum: COUNT_MAX, default: byDefault, description })
}

export function text(description: string, example: string) {
  return Type.Optional(Type.String({ minLength: 1, description, examples: [example] }))
}

export function networks(description: string, example: string) {
  return Type.Array(Type.String(), { default: [], description, examples: [[example]] })
}

/** A key of an inner table, which gets its default from the outer table. */
export function inherited<Schema extends TSchema>(schema: Schema) {
  return Type.Optional({ ...schema, default: undefined })
}

export const rateLimit = {
  requests_per_second: Type.Number({
    exclusiveMinimum: 0,
    maximum: COUNT_MAX,
    description: 'Requests per second that one client (IPv4 address or IPv6 /64) may keep up.',
    examples: [50],
  }),
  burst: Type.Integer({
    minimum: 1,
    maximum: COUNT_MAX,
    description: 'Requests that one client may make at once before requests_per_second binds.',
    examples: [100],
  }),
}

/** Responses to a client that guesses passwords, probes for forbidden paths, or ignores rate limits. */
const OFFENCES = [401, 403, 429]

export const ban = {
  after: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 10,
    description: 'Responses with one of these statuses that lead to a ban.',
  }),
  within_secs: seconds('The time in which they count.', 600),
  for_secs: seconds('How long the ban lasts.', 3600),
  statuses: Type.Array(Type.Integer({ minimum: 400, maximum: 599 }), {
    default: OFFENCES,
    description: 'Statuses that count, whether of the proxy or of the upstream; []: none.',
  }),
}

export const body = {
  limit_bytes: Type.Integer({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Largest request body in bytes; a larger one is answered 413.',
    examples: [10_485_760],
  }),
}
