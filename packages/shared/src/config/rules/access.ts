// Rules about access: networks, trusted proxies, and keys that require each other.
import { isToken } from '../../http-token.ts'
import { parseIpNetwork, PRIVATE } from '../../ip-networks.ts'
import { parseAuthUrl } from '../sites/forward-auth.ts'
import { headerFault } from '../sites/header-changes.ts'
import { configIssue, type ConfigIssue, type ConfigPath } from '../issues.ts'
import { everySettingsOf, listenersOf, type Rule } from './rule.ts'

export const ruleNetworks: Rule = function* (file) {
  for (const { value, at } of listenersOf(file))
    yield* networkIssues(value.trusted_proxies, [...at, 'trusted_proxies'])
  for (const { value, at } of everySettingsOf(file)) {
    yield* networkIssues(value.allow, [...at, 'allow'])
    yield* networkIssues(value.deny, [...at, 'deny'])
  }
}

export const ruleTrustedProxies: Rule = function* (file) {
  for (const { value, at } of listenersOf(file)) {
    const isTrusting = value.trusted_proxies === undefined || value.trusted_proxies.length > 0
    const header = value.client_ip_header
    if (header !== undefined && !isToken(header)) {
      const message = `"${header}" is not the name of a header field`
      yield configIssue(
        'VALUE_INVALID',
        [...at, 'client_ip_header'],
        message,
        'write a name such as "CF-Connecting-IP"',
      )
    }
    if (isTrusting && value.trusted_proxies !== undefined) continue
    const hint = 'name the proxies: trusted_proxies = ["203.0.113.0/24"], or "private"'
    if (header !== undefined)
      yield configIssue(
        'TRUSTED_PROXIES_MISSING',
        [...at, 'client_ip_header'],
        'client_ip_header is read from trusted proxies only, and there are none',
        hint,
      )
    if (value.proxy_protocol === true)
      yield configIssue(
        'TRUSTED_PROXIES_MISSING',
        [...at, 'proxy_protocol'],
        'with proxy_protocol only trusted proxies can connect, and there are none',
        hint,
      )
  }
}

export const ruleClientAuth: Rule = function* (file) {
  for (const { value, at } of listenersOf(file)) {
    const hasRoots = Object.hasOwn(value, 'client_ca_file')
    if (Object.hasOwn(value, 'client_auth') && !hasRoots) {
      const hint = 'add client_ca_file = "/etc/reverse-proxy/clients.pem"'
      yield configIssue('KEY_MISSING', [...at, 'client_ca_file'], 'client_auth requires client_ca_file', hint)
    }
    if (hasRoots && value.tls?.mode === 'off') {
      const message = 'client_ca_file has no effect with tls.mode = "off"'
      yield configIssue('KEY_UNUSED', [...at, 'client_ca_file'], message, 'remove it')
    }
  }
}

export const ruleForwardAuth: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    const { url, copy_headers: names = [] } = value.forward_auth ?? {}
    if (url !== undefined && url !== '') {
      const parsed = parseAuthUrl(url)
      if ('message' in parsed)
        yield configIssue('VALUE_INVALID', [...at, 'forward_auth', 'url'], parsed.message, parsed.hint)
    }
    for (const [index, name] of names.entries()) {
      const fault = name === undefined ? undefined : headerFault(name, 'x', 'request')
      if (fault === undefined) continue
      yield configIssue(
        'HEADER_INVALID',
        [...at, 'forward_auth', 'copy_headers', index],
        fault.message,
        fault.hint,
      )
    }
  }
}

export const ruleForwardAuthorization: Rule = function* (file) {
  for (const { value, inherited, at } of everySettingsOf(file)) {
    if (value.forward_authorization !== true || hasPasswords(inherited)) continue
    // A site may have the file.
    if (at[0] === 'defaults') continue
    const message =
      'forward_authorization does nothing without basic_auth_file: Authorization is passed on anyway'
    yield configIssue('KEY_UNUSED', [...at, 'forward_authorization'], message, 'remove it')
  }
}

/** `""` removes what is inherited. */
function hasPasswords(settings: { readonly basic_auth_file?: string | undefined }): boolean {
  return Object.hasOwn(settings, 'basic_auth_file') && settings.basic_auth_file !== ''
}

function* networkIssues(
  networks: readonly (string | undefined)[] | undefined,
  at: ConfigPath,
): Generator<ConfigIssue> {
  for (const [index, text] of (networks ?? []).entries()) {
    if (text === undefined || text === PRIVATE || parseIpNetwork(text) !== undefined) continue
    yield configIssue('NETWORK_INVALID', [...at, index], `"${text}" is not an IP network`, networkHint(text))
  }
}

function networkHint(text: string): string {
  const [address = '', prefix = ''] = text.split('/')
  if (parseIpNetwork(address) !== undefined && /^\d+$/u.test(prefix))
    return `the address has bits after the prefix, or the prefix is too long; "${address}" alone is one address`
  return 'write a network such as "10.0.0.0/8" or "2001:db8::/32", one address, or "private"'
}
