// An upstream with several peers: its schema, and its parsed form.
import { Type } from 'typebox'
import { isToken } from '../http-token.ts'

export interface PeerSettings {
  /** Name or address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  readonly weight: number
  /** It gets requests only while all others are out. */
  readonly isBackup: boolean
}

export type Balance =
  | { readonly by: 'least_requests' | 'round_robin' | 'client' }
  /** A header field in lower case, or a cookie; requests without it go by least_requests. */
  | { readonly by: 'header' | 'cookie'; readonly name: string }

export interface Balancing {
  /** All peers, the upstream's own address first; empty if there is only one. */
  readonly peers: readonly PeerSettings[]
  readonly balance: Balance
  /** So many failures within the window take a peer out. */
  readonly failAfter: number
  readonly failWindowMs: number
  /** How long a request that reaches no peer is retried. */
  readonly retryMs: number
}

const SECONDS_MAX = 2_147_483

const peer = Type.Object(
  {
    address: Type.String({ description: 'host:port or [IPv6]:port.', examples: ['127.0.0.1:3000'] }),
    // Within a union, ajv fills in no defaults.
    weight: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: 'Its share of the requests, compared with those of the others. Unset: 1.',
      }),
    ),
    backup: Type.Optional(
      Type.Boolean({ description: 'Gets requests only while all others are out. Unset: false.' }),
    ),
  },
  { additionalProperties: false, required: ['address'] },
)

/** Keys of a site. */
export const balancingKeys = {
  upstream: Type.Union(
    [
      Type.String({ description: 'host:port or [IPv6]:port.' }),
      Type.Array(Type.Union([Type.String(), peer]), { minItems: 1 }),
    ],
    {
      description:
        'Where its requests go: host:port or [IPv6]:port, or an array of them or of tables with address, weight and backup.',
      examples: ['127.0.0.1:3000'],
    },
  ),
  balance: Type.String({
    default: 'least_requests',
    description:
      'How requests are divided among several upstreams: least_requests, round_robin, client (one client stays with one upstream), header:NAME or cookie:NAME (one value stays with one upstream).',
    examples: ['round_robin', 'cookie:session'],
  }),
  fail_after: Type.Integer({
    minimum: 1,
    maximum: 1_000,
    default: 3,
    description: 'Failures within fail_window_secs that take one of several upstreams out for 10 s.',
  }),
  fail_window_secs: Type.Number({
    exclusiveMinimum: 0,
    maximum: SECONDS_MAX,
    default: 10,
    description: 'See fail_after.',
  }),
  upstream_retry_secs: Type.Number({
    minimum: 0,
    maximum: SECONDS_MAX,
    default: 2,
    description:
      'How long a request that reaches no upstream (refused, unreachable, no name) is tried again; then 502 or 504. 0: not at all.',
  }),
}

/** @returns undefined if `text` is no policy */
export function parseBalance(text: string): Balance | undefined {
  if (text === 'least_requests' || text === 'round_robin' || text === 'client') return { by: text }
  const [by, name = '', ...more] = text.split(':')
  if (!isToken(name) || more.length > 0) return undefined
  if (by === 'header') return { by, name: name.toLowerCase() }
  return by === 'cookie' ? { by, name } : undefined
}
