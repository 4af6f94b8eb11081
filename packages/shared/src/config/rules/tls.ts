// Rules about a listener's certificates: what each mode requires, and that every site is covered.
import { namesCover, parseHostName } from '../host-name.ts'
import { configIssue, formatPath, type ConfigIssue, type ConfigPath } from '../issues.ts'
import { hostsOf, listenersOf, sitesOf, tlsOf, type Located, type Rule } from './rule.ts'
import type { Valid, TlsFile } from '../schema.ts'

type TlsKey = keyof TlsFile

const MAILTO = /^mailto:[^\s@,?]+@[^\s@,?]+$/iu
const HTTPS_URL = /^https:\/\/[^\s/?#@]+(?:[/?][^\s#]*)?$/iu
const PUBLIC_DIRECTORIES: readonly string[] = ['production', 'staging']

// Without the keys that have a default: a written one looks the same as the default.
const KEYS_OF_MODE: Readonly<Record<TlsFile['mode'], readonly TlsKey[]>> = {
  acme: [
    'acme_domains',
    'acme_cache_dir',
    'acme_contact',
    'acme_ca_file',
    'acme_eab_kid',
    'acme_eab_hmac_file',
    'acme_profile',
    'acme_preferred_chain',
  ],
  manual: ['cert_path', 'key_path', 'certificates'],
  internal: [],
  off: [],
}

/** Each mode has the keys that it requires, and none that has no effect in it. */
export const ruleModeKeys: Rule = function* (file) {
  for (const tls of tlsOf(file)) {
    const { mode } = tls.value
    if (mode === undefined) continue
    if (mode === 'acme') yield* missingAcmeKeys(tls)
    if (mode === 'manual') yield* missingManualKeys(tls)
    for (const [owner, keys] of Object.entries(KEYS_OF_MODE)) {
      if (owner === mode) continue
      for (const key of keys.filter((name) => Object.hasOwn(tls.value, name))) {
        const message = `${key} has no effect with mode = "${mode}"`
        yield configIssue('KEY_UNUSED', [...tls.at, key], message, `remove it, or write mode = "${owner}"`)
      }
    }
  }
}

function* missingAcmeKeys({ value, at }: Located<Valid<TlsFile>>): Generator<ConfigIssue> {
  if (!Object.hasOwn(value, 'acme_domains')) {
    const hint = 'add acme_domains = ["www.example.com"] with every host of this listener'
    yield configIssue(
      'ACME_DOMAINS_EMPTY',
      [...at, 'acme_domains'],
      'mode = "acme" requires acme_domains',
      hint,
    )
  }
  if (!Object.hasOwn(value, 'acme_cache_dir')) {
    yield missingKey(at, 'acme_cache_dir', 'mode = "acme"', '"/var/lib/reverse-proxy/acme/main"')
  }
  if (!Object.hasOwn(value, 'acme_contact')) {
    yield missingKey(at, 'acme_contact', 'mode = "acme"', '"mailto:admin@example.com"')
  }
}

function* missingManualKeys({ value, at }: Located<Valid<TlsFile>>): Generator<ConfigIssue> {
  const hasCertificate = Object.hasOwn(value, 'cert_path')
  const hasKey = Object.hasOwn(value, 'key_path')
  if (!hasCertificate && (hasKey || !Object.hasOwn(value, 'certificates'))) {
    yield missingKey(
      at,
      'cert_path',
      hasKey ? 'key_path' : 'mode = "manual"',
      '"/etc/ssl/example.com/fullchain.pem"',
    )
  }
  if (!hasKey && (hasCertificate || !Object.hasOwn(value, 'certificates'))) {
    const owner = hasCertificate ? 'cert_path' : 'mode = "manual"'
    yield missingKey(at, 'key_path', owner, '"/etc/ssl/example.com/privkey.pem"')
  }
}

function missingKey(at: ConfigPath, key: TlsKey, owner: string, example: string): ConfigIssue {
  return configIssue('KEY_MISSING', [...at, key], `${owner} requires ${key}`, `add ${key} = ${example}`)
}

/** Names that a public CA puts on one certificate, by profile; https://letsencrypt.org/docs/profiles/ */
const NAMES_PER_CERTIFICATE = 100
const NAMES_BY_PROFILE: Readonly<Record<string, number>> = { tlsserver: 25, shortlived: 25 }

/** A certificate has no more names than a CA allows. */
export const ruleAcmeDomainCount: Rule = function* (file) {
  for (const { value, at } of tlsOf(file)) {
    if (value.mode !== 'acme') continue
    const { acme_domains: domains = [], acme_profile: profile = '' } = value
    const count = new Set(domains.map((domain) => domain?.toLowerCase())).size
    const byProfile = Object.hasOwn(NAMES_BY_PROFILE, profile) ? NAMES_BY_PROFILE[profile] : undefined
    const most = byProfile ?? NAMES_PER_CERTIFICATE
    if (count <= most) continue
    const under = byProfile === undefined ? '' : ` of the profile "${profile}"`
    const message = `${count} names: a CA puts ${most} on one certificate${under} at most`
    const hint = 'divide the sites among several listeners, each with an address or a port of its own'
    yield configIssue('ACME_DOMAINS_TOO_MANY', [...at, 'acme_domains'], message, hint)
  }
}

/** Each name of a certificate is a valid host name and no wildcard. */
export const ruleAcmeDomains: Rule = function* (file, { toAscii }) {
  for (const { value, at } of tlsOf(file)) {
    if (value.mode !== 'acme') continue
    for (const [index, domain] of (value.acme_domains ?? []).entries()) {
      if (domain === undefined) continue
      const key = [...at, 'acme_domains', index]
      const name = parseHostName(domain, toAscii)
      if (typeof name !== 'string') {
        yield configIssue('ACME_DOMAIN_INVALID', key, name.message, name.hint)
      } else if (name.startsWith('*.')) {
        const message = `"${name}" can be proved by DNS alone, which is not supported`
        yield configIssue('ACME_DOMAIN_WILDCARD', key, message, 'list each name, or use mode = "manual"')
      }
    }
  }
}

/** Contact, directory and external account are usable. */
export const ruleAcmeAccount: Rule = function* (file) {
  for (const { value, at } of tlsOf(file)) {
    if (value.mode !== 'acme') continue
    const { acme_contact: contact, acme_directory: directory } = value
    // RFC 8555 7.3: one address and no header fields.
    if (contact !== undefined && !MAILTO.test(contact)) {
      const hint = `write "${MAILTO.test(`mailto:${contact}`) ? `mailto:${contact}` : 'mailto:admin@example.com'}"`
      yield configIssue(
        'ACME_CONTACT_INVALID',
        [...at, 'acme_contact'],
        `"${contact}" is not a mailto: URI`,
        hint,
      )
    }
    if (directory !== undefined && !PUBLIC_DIRECTORIES.includes(directory) && !HTTPS_URL.test(directory)) {
      const message = `"${directory}" is not a directory of a CA`
      const hint = 'write "production", "staging", or an https:// URL'
      yield configIssue('ACME_DIRECTORY_INVALID', [...at, 'acme_directory'], message, hint)
    }
    const [given, missing] = Object.hasOwn(value, 'acme_eab_kid')
      ? (['acme_eab_kid', 'acme_eab_hmac_file'] as const)
      : (['acme_eab_hmac_file', 'acme_eab_kid'] as const)
    if (Object.hasOwn(value, given) && !Object.hasOwn(value, missing)) {
      const message = `external account binding needs both ${given} and ${missing}`
      yield configIssue('ACME_EAB_INCOMPLETE', [...at, given], message, `add ${missing}, or remove ${given}`)
    }
  }
}

/** No two listeners share a cache directory. */
export const ruleCacheDirs: Rule = function* (file, { resolvePath }) {
  const first = new Map<string, string>()
  for (const { value, at } of tlsOf(file)) {
    if (value.mode !== 'acme' || value.acme_cache_dir === undefined) continue
    const directory = resolvePath(value.acme_cache_dir)
    const owner = first.get(directory)
    if (owner === undefined) {
      first.set(directory, formatPath(at))
    } else {
      const message = `${directory} is already the cache of ${owner}`
      yield configIssue(
        'ACME_CACHE_DIR_SHARED',
        [...at, 'acme_cache_dir'],
        message,
        'give each listener its own',
      )
    }
  }
}

/** Certificates of ACME cover every site of their listener. Manual ones are checked when they are read. */
export const ruleCoverage: Rule = function* (file, { toAscii }) {
  for (const listener of listenersOf(file)) {
    const { tls } = listener.value
    if (tls?.mode !== 'acme' || tls.acme_domains === undefined || tls.acme_domains.includes(undefined))
      continue
    const names = new Set(tls.acme_domains.map((domain = '') => domain.toLowerCase()))
    if (names.size === 0) continue
    for (const written of sitesOf(listener).flatMap(hostsOf)) {
      yield* uncoveredHost(written, names, toAscii, (host) => ({
        message: `"${host}" is not in acme_domains of this listener, so nobody could reach it`,
        hint: host.startsWith('*.')
          ? 'a wildcard needs a certificate of mode = "manual"; list the names one by one'
          : `add "${host}" to acme_domains`,
      }))
    }
  }
}

/** Yields an issue if none of `names` covers the host of a site. Yields nothing for an invalid host. */
export function* uncoveredHost(
  { value, at }: Located<string>,
  names: ReadonlySet<string>,
  toAscii: (name: string) => string,
  explain: (host: string) => { message: string; hint: string },
): Generator<ConfigIssue> {
  const host = parseHostName(value, toAscii)
  if (typeof host !== 'string' || namesCover(names, host)) return
  const { message, hint } = explain(host)
  yield configIssue('HOST_NOT_COVERED', at, message, hint)
}

/** The CA can reach the port of the challenge. */
export const ruleAcmeChallenge: Rule = function* (file) {
  for (const { value, at } of listenersOf(file)) {
    const { tls, http_port: httpPort, https_port: httpsPort } = value
    if (tls?.mode !== 'acme' || tls.acme_challenge === undefined) continue
    const isHttp = tls.acme_challenge === 'http-01'
    const challengeAt = [...at, 'tls', 'acme_challenge']
    if (isHttp && httpPort === 0) {
      const message = 'http-01 is answered on http_port, which is 0'
      const hint = 'write http_port = 80, or acme_challenge = "tls-alpn-01"'
      yield configIssue('ACME_HTTP_PORT_DISABLED', challengeAt, message, hint)
      continue
    }
    const [key, port, expected] = isHttp
      ? (['http_port', httpPort, 80] as const)
      : (['https_port', httpsPort, 443] as const)
    if (port === undefined || port === expected || !PUBLIC_DIRECTORIES.includes(tls.acme_directory ?? ''))
      continue
    const message = `the CA proves a name on port ${expected}, and ${key} is ${port}`
    const hint = `see to it that port ${expected} of the public address leads to ${port}`
    yield configIssue('ACME_CHALLENGE_PORT', [...at, key], message, hint)
  }
}
