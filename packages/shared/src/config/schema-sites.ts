// The part of the schema about sites: the keys that [defaults], sites and routes share, and those that only a site or a
// route has. A shared key has its default in [defaults] alone, so that a route inherits a key that it does not have.
import { Type } from 'typebox'
import { balancingKeys } from './balancing.ts'
import { ban, body, inherited, networks, rateLimit, SECONDS_MAX, table, text } from './schema-parts.ts'

const SCHEMES = ['http', 'https'] as const
const scheme = {
  description:
    'Protocol used to connect to the upstream. With https, its certificate must be issued by a root of the system or of upstream_ca_file, for exactly the name in upstream. Public CAs issue no certificates for addresses and localhost: there the certificate must contain that address (or localhost).',
}
const timeout = { exclusiveMinimum: 0, maximum: SECONDS_MAX }
const connectTimeout = { ...timeout, description: 'Time to connect to the upstream; then 504.' }
const requestTimeout = {
  ...timeout,
  description: 'Longest wait for the response head, and then between two pieces of the body.',
}
const REDIRECT_STATUSES = [301, 302, 303, 307, 308] as const
const redirectStatus = { description: 'Status of the response of redirect.' }
const stripPrefix = {
  description: 'Takes the path of the route from the front of the path that goes upstream.',
}

const respond = table(
  {
    status: Type.Integer({
      minimum: 200,
      maximum: 599,
      default: 200,
      description: 'Status of the response.',
    }),
    body: Type.String({ default: '', description: 'Content of the response, as UTF-8.' }),
    content_type: Type.String({
      minLength: 1,
      default: 'text/plain; charset=utf-8',
      description: 'Content-Type of the response.',
    }),
  },
  {
    description: 'A fixed response.',
    examples: [{ status: 404, body: 'Nothing here.' }],
  },
)

function strings(description: string, examples: readonly unknown[]) {
  return Type.Optional(Type.Record(Type.String(), Type.String(), { description, examples }))
}

const forwardAuth = table(
  {
    url: Type.String({
      description:
        'URL that is asked for each request, by GET with the fields of the request and X-Forwarded-Method, -Proto, -Host, -Uri and -For. An answer of 2xx lets the request go on, any other is the answer. "" in a site or route: nobody is asked there.',
      examples: ['http://127.0.0.1:9091/api/authz/forward-auth'],
    }),
    copy_headers: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Fields of an answer of 2xx that are set on the request; those that the client sent are removed.',
        examples: [['Remote-User', 'Remote-Groups', 'Remote-Email', 'Remote-Name']],
      }),
    ),
    timeout_secs: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: SECONDS_MAX,
        description: 'Time for the whole answer, 5 unless said; then 502.',
        examples: [5],
      }),
    ),
  },
  { description: 'Asks a service such as Authelia whether a request may go on.' },
)

/** Keys about access to a site or route. */
const access = {
  allow: networks('Networks that may use it; empty: everyone. Others get 403.', '10.0.0.0/8'),
  deny: networks('Networks that may not use it, whatever allow says.', '203.0.113.0/24'),
  basic_auth_file: Type.Optional(
    Type.String({
      description:
        'File of users and password hashes (argon2id, scrypt, bcrypt); a user and password are asked for. "" in a site or route: not there.',
      examples: ['/etc/reverse-proxy/users'],
    }),
  ),
  forward_auth: Type.Optional(forwardAuth),
  forward_authorization: Type.Boolean({
    default: false,
    description: 'With basic_auth_file: the upstream gets the Authorization field, too.',
  }),
}

const settings = {
  upstream: Type.Optional(balancingKeys.upstream),
  balance: inherited(balancingKeys.balance),
  fail_after: inherited(balancingKeys.fail_after),
  fail_window_secs: inherited(balancingKeys.fail_window_secs),
  upstream_retry_secs: inherited(balancingKeys.upstream_retry_secs),
  upstream_scheme: Type.Optional(Type.Enum(SCHEMES, scheme)),
  upstream_ca_file: text(
    'PEM of roots that are trusted for this upstream besides those of the system; read at start and at each reload.',
    '/etc/ssl/upstream.pem',
  ),
  upstream_connect_timeout_secs: Type.Optional(Type.Number(connectTimeout)),
  upstream_request_timeout_secs: Type.Optional(Type.Number(requestTimeout)),
  strip_prefix: Type.Optional(Type.Boolean(stripPrefix)),
  add_prefix: text('Path that is put in front of the path that goes upstream, after strip_prefix.', '/v2'),
  redirect: text(
    'Where clients are sent: an absolute URL or a path. A URL without a path keeps path and query of the request; a * at the end stands for what follows the path of the route, with the query; anything else is sent as it is.',
    'https://example.com',
  ),
  redirect_status: Type.Optional(Type.Enum(REDIRECT_STATUSES, redirectStatus)),
  respond: Type.Optional(respond),
  request_headers: strings(
    'Header fields that are set on the request that goes upstream; "" removes one. {client_ip}, {host}, {scheme} and {request_id} are replaced.',
    [{ 'X-Tenant': 'one' }],
  ),
  response_headers: strings(
    'Header fields that are set on every response, those of the proxy itself among them; "" removes one. {client_ip}, {host}, {scheme} and {request_id} are replaced.',
    [{ 'Strict-Transport-Security': 'max-age=31536000', 'X-Powered-By': '' }],
  ),
  rate_limit: Type.Optional(
    table(rateLimit, { description: 'A rate limit of its own, counted apart from the general one.' }),
  ),
  body: Type.Optional(table(body, { description: 'Replaces the general body limit.' })),
  allow: inherited(access.allow),
  deny: inherited(access.deny),
  basic_auth_file: access.basic_auth_file,
  forward_auth: access.forward_auth,
  forward_authorization: inherited(access.forward_authorization),
}

export const defaults = table(
  {
    ...settings,
    ...balancingKeys,
    ...access,
    upstream: settings.upstream,
    upstream_scheme: Type.Enum(SCHEMES, { ...scheme, default: 'http' }),
    upstream_connect_timeout_secs: Type.Number({ ...connectTimeout, default: 5 }),
    upstream_request_timeout_secs: Type.Number({ ...requestTimeout, default: 60 }),
    strip_prefix: Type.Boolean({ ...stripPrefix, default: false }),
    redirect_status: Type.Enum(REDIRECT_STATUSES, { ...redirectStatus, default: 308 }),
  },
  {
    default: {},
    description:
      'Keys of every site; a site, and then a route, may say otherwise. Tables are merged key by key.',
  },
)

const route = table(
  {
    path: Type.String({
      minLength: 1,
      maxLength: 1024,
      description:
        'Which requests the route is for: "/api/" is that path, all below it and "/api"; "/api" is that path alone. The longest wins.',
      examples: ['/api/'],
    }),
    methods: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        description: 'Methods that the route is for; without it, all.',
        examples: [['POST']],
      }),
    ),
    match_headers: strings(
      'Header fields that a request must have, with their exact value; "*" for any value.',
      [{ 'X-Beta': '*' }],
    ),
    match_query: strings(
      'Query parameters that a request must have, with their exact value; "*" for any value. The first of a name counts.',
      [{ version: '2' }],
    ),
    ...settings,
  },
  { description: 'A part of a site. What it does not say is as the site says.' },
)

export const site = table(
  {
    host: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })], {
      description: 'The name that is served, or an array of names: exact, or *.example.com.',
      examples: ['www.example.com'],
    }),
    ...settings,
    ban: Type.Optional(
      table(ban, {
        description:
          'Replaces the general ban for requests of this site, which are counted apart. Who is banned is refused by every site.',
        examples: [{ after: 5, for_secs: 86_400 }],
      }),
    ),
    routes: Type.Optional(
      Type.Array(route, {
        description: 'Parts of the site that are served in another way.',
        examples: [[{ path: '/api/', upstream: '127.0.0.1:4000' }]],
      }),
    ),
  },
  {
    description: 'One host name or several, and what is done with requests for them.',
  },
)
