// Every kind of issue of a configuration, each with a stable code. Programs compare codes; messages are for people.
// `rules` numbers what the tests of broken configurations must cover.

interface IssueRow {
  readonly rules: readonly number[]
  readonly severity: 'error' | 'warning'
}

export const ISSUES = {
  // The file as a whole.
  CONFIG_UNREADABLE: { rules: [], severity: 'error' },
  CONFIG_TOO_LARGE: { rules: [], severity: 'error' },
  CONFIG_CHANGED: { rules: [], severity: 'error' },
  TOML_SYNTAX: { rules: [], severity: 'error' },
  VARIABLE_INVALID: { rules: [], severity: 'error' },
  NOT_TOML: { rules: [], severity: 'error' },
  INCLUDE_INVALID: { rules: [], severity: 'error' },
  INCLUDE_EMPTY: { rules: [], severity: 'warning' },
  // The shape: schema.ts.
  KEY_UNKNOWN: { rules: [22], severity: 'error' },
  KEY_MISSING: { rules: [], severity: 'error' },
  KEY_UNUSED: { rules: [], severity: 'warning' },
  VALUE_INVALID: { rules: [], severity: 'error' },
  LIMIT_INVALID: { rules: [8, 9], severity: 'error' },
  // Settings that depend on the machine.
  ACCOUNT_UNKNOWN: { rules: [], severity: 'error' },
  WORKERS_AS_ROOT: { rules: [], severity: 'warning' },
  LOG_FILE_UNUSABLE: { rules: [], severity: 'error' },
  PATH_TILDE: { rules: [], severity: 'error' },
  PATH_CLASH: { rules: [], severity: 'error' },
  ADMIN_SOCKET_PATH_TOO_LONG: { rules: [], severity: 'error' },
  // Listeners.
  LISTENERS_EMPTY: { rules: [1], severity: 'error' },
  BIND_ADDR_INVALID: { rules: [], severity: 'error' },
  WILDCARD_BIND: { rules: [2], severity: 'error' },
  LISTENER_PORT_CLASH: { rules: [3, 10], severity: 'error' },
  SAME_PORTS: { rules: [11], severity: 'error' },
  PLAIN_PORT_DISABLED: { rules: [11], severity: 'error' },
  HTTPS_PORT_INVALID: { rules: [12], severity: 'error' },
  HTTP_PORT_INVALID: { rules: [13], severity: 'error' },
  HEALTH_PORT_CLASH: { rules: [14], severity: 'error' },
  NETWORK_INVALID: { rules: [], severity: 'error' },
  TRUSTED_PROXIES_MISSING: { rules: [], severity: 'error' },
  PASSWORD_FILE_INVALID: { rules: [], severity: 'error' },
  // Sites.
  LISTENER_UNKNOWN: { rules: [], severity: 'error' },
  SITES_EMPTY: { rules: [6], severity: 'error' },
  HOST_MISSING: { rules: [6], severity: 'error' },
  HOST_DUPLICATE: { rules: [7], severity: 'error' },
  HOST_WITH_PORT: { rules: [15], severity: 'error' },
  HOST_IS_ADDRESS: { rules: [16], severity: 'error' },
  HOST_INVALID: { rules: [16], severity: 'error' },
  HOST_NOT_COVERED: { rules: [23], severity: 'error' },
  UPSTREAM_MISSING: { rules: [6], severity: 'error' },
  UPSTREAM_INVALID: { rules: [17], severity: 'error' },
  UPSTREAM_DUPLICATE: { rules: [], severity: 'error' },
  BALANCE_INVALID: { rules: [], severity: 'error' },
  UPSTREAM_ALL_BACKUP: { rules: [], severity: 'error' },
  ACTION_SEVERAL: { rules: [], severity: 'error' },
  REDIRECT_INVALID: { rules: [], severity: 'error' },
  RESPOND_INVALID: { rules: [], severity: 'error' },
  PREFIX_INVALID: { rules: [], severity: 'error' },
  HEADER_INVALID: { rules: [], severity: 'error' },
  ROUTE_PATH_INVALID: { rules: [], severity: 'error' },
  ROUTE_CONDITION_INVALID: { rules: [], severity: 'error' },
  ROUTE_AMBIGUOUS: { rules: [], severity: 'error' },
  UPSTREAM_SCHEME_INVALID: { rules: [18], severity: 'error' },
  // Certificates.
  ACME_DOMAINS_EMPTY: { rules: [4], severity: 'error' },
  ACME_DOMAINS_TOO_MANY: { rules: [4], severity: 'error' },
  ACME_DOMAIN_INVALID: { rules: [16], severity: 'error' },
  ACME_DOMAIN_WILDCARD: { rules: [21], severity: 'error' },
  ACME_CONTACT_INVALID: { rules: [19], severity: 'error' },
  ACME_CACHE_DIR_SHARED: { rules: [20], severity: 'error' },
  ACME_CACHE_DIR_UNUSABLE: { rules: [], severity: 'error' },
  ACME_CACHE_DIR_UNWRITABLE: { rules: [], severity: 'warning' },
  ACME_CACHE_DIR_EXPOSED: { rules: [], severity: 'warning' },
  ACME_DIRECTORY_INVALID: { rules: [], severity: 'error' },
  ACME_EAB_INCOMPLETE: { rules: [], severity: 'error' },
  ACME_HTTP_PORT_DISABLED: { rules: [24], severity: 'error' },
  ACME_CHALLENGE_PORT: { rules: [25], severity: 'warning' },
  FILE_UNREADABLE: { rules: [5], severity: 'error' },
  CERTIFICATE_INVALID: { rules: [5], severity: 'error' },
  CERTIFICATE_DOUBTFUL: { rules: [5], severity: 'warning' },
  KEY_INVALID: { rules: [5], severity: 'error' },
  KEY_MISMATCH: { rules: [5], severity: 'error' },
} as const satisfies Record<string, IssueRow>

export type IssueCode = keyof typeof ISSUES

/** Keys and array indexes from the root of the file. */
export type ConfigPath = readonly (string | number)[]

export interface ConfigIssue {
  readonly code: IssueCode
  /** Numbers of the rules that it violates; empty if only the form is wrong. */
  readonly rules: readonly number[]
  readonly severity: 'error' | 'warning'
  readonly at: ConfigPath
  /** `at` as people write it: `listeners[0].sites[1].host`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  /** Tells what to write instead. */
  readonly hint: string
}

export function configIssue(code: IssueCode, at: ConfigPath, message: string, hint: string): ConfigIssue {
  const { rules, severity }: IssueRow = ISSUES[code]
  return { code, rules, severity, at, path: formatPath(at), message, hint }
}

const BARE_KEY = /^[A-Za-z0-9_-]+$/u

/** `listeners[0].sites[1].host`; a key that TOML would quote is quoted. */
export function formatPath(at: ConfigPath): string {
  let text = ''
  for (const step of at) {
    if (typeof step === 'number') text += `[${step}]`
    else text += `${text === '' ? '' : '.'}${BARE_KEY.test(step) ? step : JSON.stringify(step)}`
  }
  return text
}
