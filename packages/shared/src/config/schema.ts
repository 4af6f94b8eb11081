// The configuration file as an operator writes it (TOML, snake_case): the one definition that gives
// the type, the validation, the defaults, and the help of editors. rules/rules.ts has what a schema cannot express.
import { Type, type Static } from 'typebox'
import { ban, body, count, networks, rateLimit, seconds, table, text } from './schema-parts.ts'
import { defaults, site } from './schema-sites.ts'

const limits = table(
  {
    tls_handshake_timeout_secs: seconds('Time for a TLS handshake.', 10),
    request_header_timeout_secs: seconds('Time for a whole request head to arrive.', 15),
    header_bytes: count('Largest request head in bytes; a larger one is answered 431.', 32_768),
    header_count: count('Most header fields of a request; all cookies of an HTTP/2 request are one.', 100),
    keep_alive_timeout_secs: seconds('How long an idle client connection is kept open.', 60),
    body_stall_timeout_secs: seconds(
      'Longest silence of a client that still has a body to send or a response to read; not counted while the upstream holds it back, nor while the other direction moves.',
      60,
    ),
    connections_per_worker: count('Client connections that one worker holds at once.', 10_000),
    connections_per_client: count(
      'Connections of one client (IPv4 address or IPv6 /64) that one worker holds at once.',
      256,
    ),
    requests_per_connection: count('Requests served on one connection before it is closed.', 10_000),
    http2_streams: count('Concurrent streams of one HTTP/2 connection.', 100),
    upgrade_idle_timeout_secs: seconds(
      'Longest silence on a WebSocket, in both directions; once one side has ended, body_stall_timeout_secs holds if it is shorter.',
      3600,
    ),
    upstream_connections_per_site: count(
      'Requests of one worker that wait for a response head from the upstream of one site; more are queued.',
      256,
    ),
    upstream_max_connections: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Connections of one worker to the upstream of one site, WebSockets and streams among them. Unset: no bound.',
        examples: [32],
      }),
    ),
    worker_max_rss_bytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'A worker with more resident memory is replaced, as a reload replaces it. Unset: never.',
        examples: [536_870_912],
      }),
    ),
    worker_max_age_secs: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        description: 'A worker of this age is replaced, up to a tenth earlier. Unset: never.',
        examples: [604_800],
      }),
    ),
  },
  { default: {}, description: 'Bounds on what a client may hold or delay.' },
)

const logging = table(
  {
    level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error'], {
      default: 'info',
      description: 'Least severe level that is written.',
    }),
    format: Type.Enum(['text', 'json'], {
      default: 'text',
      description: 'One line of words, or one JSON object.',
    }),
    log_file_path: text(
      'File written in addition to stdout; SIGUSR1 and SIGUSR2 reopen it.',
      '/var/log/reverse-proxy/proxy.log',
    ),
  },
  { default: {}, description: 'Where and how log lines are written.' },
)

const certificatePair = table(
  {
    cert_path: Type.String({
      minLength: 1,
      description: 'PEM file: the certificate of the site first, then its chain.',
      examples: ['/etc/ssl/example.com/fullchain.pem'],
    }),
    key_path: Type.String({
      minLength: 1,
      description: 'PEM file: the private key of that certificate, without a passphrase.',
      examples: ['/etc/ssl/example.com/privkey.pem'],
    }),
  },
  { description: 'A certificate and its key; which one a client gets is decided by the names in it.' },
)

// One flat table rather than one for each mode: a union gives an operator who mistypes `mode` a page
// of errors, and defaults cannot live inside it. What a mode requires is in rules/tls.ts.
const tls = table(
  {
    mode: Type.Enum(['acme', 'manual', 'internal', 'off'], {
      description:
        'acme: from a public CA. manual: from files. internal: from a CA of its own, for development. off: no TLS; the sites are served over plain HTTP on http_port.',
      examples: ['acme'],
    }),
    acme_domains: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        description: 'Names of the one certificate of this listener. Required with mode = "acme".',
        examples: [['example.com', 'www.example.com']],
      }),
    ),
    acme_cache_dir: text(
      'Directory for the account key and the certificate, one for each listener. Required with mode = "acme".',
      '/var/lib/reverse-proxy/acme/main',
    ),
    acme_directory: Type.String({
      default: 'production',
      description: "Let's Encrypt production or staging, or the https URL of another CA's directory.",
    }),
    acme_contact: Type.Optional(
      Type.String({
        description: 'Where the CA may write to, a mailto: URI. Required with mode = "acme".',
        examples: ['mailto:admin@example.com'],
      }),
    ),
    acme_challenge: Type.Enum(['tls-alpn-01', 'http-01'], {
      default: 'tls-alpn-01',
      description: 'How a name is proved: on https_port (443 for a public CA), or on http_port (80).',
    }),
    acme_ca_file: text('PEM roots to trust when talking to the ACME server.', '/etc/ssl/acme-root.pem'),
    acme_eab_kid: text('Key identifier of an external account binding.', 'kid-1'),
    acme_eab_hmac_file: text(
      'File with the base64url HMAC key of that binding.',
      '/etc/reverse-proxy/eab.key',
    ),
    acme_key_type: Type.Enum(['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-4096'], {
      default: 'ecdsa-p256',
      description: 'Key of the certificate.',
    }),
    acme_profile: text('Certificate profile asked of the CA.', 'shortlived'),
    acme_preferred_chain: text(
      'Common name of the issuer at the top of the chain to prefer.',
      'ISRG Root X1',
    ),
    cert_path: text(
      'PEM certificate and chain. mode = "manual" requires this or certificates.',
      '/etc/ssl/chain.pem',
    ),
    key_path: text('PEM private key of cert_path.', '/etc/ssl/key.pem'),
    certificates: Type.Optional(
      Type.Array(certificatePair, {
        minItems: 1,
        description: 'Several certificates for mode = "manual", chosen by the names in them.',
        examples: [[{ cert_path: '/etc/ssl/chain.pem', key_path: '/etc/ssl/key.pem' }]],
      }),
    ),
  },
  { description: 'Where the certificates of this listener come from.' },
)

const port = (description: string, minimum: 0 | 1, byDefault: number) =>
  Type.Integer({ minimum, maximum: 65_535, default: byDefault, description })

const listener = table(
  {
    bind_addr: Type.Union(
      [Type.String({ description: 'One IP address.' }), Type.Array(Type.String(), { minItems: 1 })],
      {
        description: 'The IP address to listen on, or an array of them. "::" is IPv6 alone.',
        examples: ['203.0.113.10'],
      },
    ),
    http_port: port(
      'Port that redirects to HTTPS and answers http-01 challenges; 0 disables it. With tls.mode = "off" it serves the sites.',
      0,
      80,
    ),
    https_port: port('Port that serves the sites; without effect with tls.mode = "off".', 1, 443),
    tls,
    trusted_proxies: networks(
      'Networks of proxies in front of this one, or "private": their X-Forwarded fields are believed.',
      '203.0.113.0/24',
    ),
    client_ca_file: text(
      'PEM of the roots that issue the certificates of clients; read at start and at each reload. Subject and SHA-256 fingerprint go upstream as X-Client-Cert-Subject and X-Client-Cert-Fingerprint.',
      '/etc/reverse-proxy/clients.pem',
    ),
    client_auth: Type.Optional(
      Type.Enum(['require', 'request'], {
        description:
          'With client_ca_file: require (unless said otherwise) refuses clients without a certificate; request lets them in without the two fields. One that is shown has to be valid.',
        examples: ['require'],
      }),
    ),
    client_ip_header: text(
      'Field in which a trusted proxy names the client, instead of X-Forwarded-For.',
      'CF-Connecting-IP',
    ),
    proxy_protocol: Type.Boolean({
      default: false,
      description:
        'Connections begin with a PROXY protocol header, version 1 or 2; only trusted proxies may connect.',
    }),
    sites: Type.Array(site, {
      default: [],
      description: 'The sites of this listener; included files add to them.',
    }),
  },
  { description: 'Addresses and ports, the certificates shown there, and the sites served there.' },
)

export const configSchema = table(
  {
    workers: Type.Union([Type.Enum(['auto']), Type.Integer({ minimum: 1, maximum: 1024 })], {
      default: 'auto',
      description: 'Worker processes; "auto" is one for each processor.',
    }),
    user: text('Account that the workers run as when the program is started as root.', 'reverse-proxy'),
    group: text('Group that the workers run as; without it the main group of user.', 'reverse-proxy'),
    state_dir: text(
      'Directory for accounts at ACME CAs, and for the internal CA and its certificates.',
      '/var/lib/reverse-proxy',
    ),
    allow_wildcard_bind: Type.Boolean({
      default: false,
      description: 'Permits bind_addr 0.0.0.0 and ::, which listen on every address of the machine.',
    }),
    health_check_port: port('Port on 127.0.0.1 for /health and /metrics; 0 disables it.', 0, 9900),
    admin_socket_path: Type.Optional(
      Type.String({
        description: 'Unix socket that takes commands from its owner; "" disables it.',
        examples: ['/run/reverse-proxy/admin.sock'],
      }),
    ),
    shutdown_timeout_secs: seconds('Time for requests in flight to end when a worker stops.', 30),
    logging,
    include: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        'Files of [[sites]], each with listener = "address:port", or without if there is one listener. A pattern names files of one directory.',
      examples: [['sites/*.toml']],
    }),
    rate_limit: table(rateLimit, { description: 'What one client may ask of the whole proxy.' }),
    ban: Type.Optional(
      table(ban, {
        description:
          'Whoever fails too often (IPv4 address or IPv6 /64) is refused for a time, whichever site is asked. Trusted proxies never are. Without it nobody is banned.',
        examples: [{ after: 10, within_secs: 600, for_secs: 3600, statuses: [401, 403, 429] }],
      }),
    ),
    body: table(body, { description: 'The limit on request bodies.' }),
    limits,
    defaults,
    listeners: Type.Array(listener, { minItems: 1, description: 'Where the proxy listens, and for what.' }),
  },
  {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'reverse-proxy configuration',
    description: 'The configuration file of reverse-proxy.',
  },
)

/** A valid file with its defaults filled in. */
export type ConfigFile = Static<typeof configSchema>
export type ListenerFile = ConfigFile['listeners'][number]
export type SiteFile = ListenerFile['sites'][number]
export type RouteFile = NonNullable<SiteFile['routes']>[number]
/** The keys that `[defaults]`, a site and a route have in common. */
export type SettingsFile = ConfigFile['defaults']
export type TlsFile = ListenerFile['tls']

/**
 * A file in which every value that breaks the schema is undefined. A key with a bad value is present and undefined; a
 * key that was not written is absent.
 */
export type Valid<T> = T extends readonly (infer Element)[]
  ? readonly (Valid<Element> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Valid<T[Key]> | undefined }
    : T
