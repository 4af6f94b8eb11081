// Host names: which are valid (RFC 1123 2.1, RFC 1035 2.3.4), and which hosts a name of a certificate covers.
import { parseIpAddress } from '../ip-address.ts'
import type { IssueCode } from './issues.ts'

export interface HostNameFault {
  readonly code: Extract<IssueCode, 'HOST_MISSING' | 'HOST_WITH_PORT' | 'HOST_IS_ADDRESS' | 'HOST_INVALID'>
  readonly message: string
  readonly hint: string
}

const NAME_MAX = 253
const LABEL_MAX = 63
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/u
const ASCII = /^[\u0000-\u007f]*$/u
// RFC 3696 2: the last label is not a number, so that no name can be mistaken for an address.
const NUMERIC_LABEL = /^(?:\d+|0x[0-9a-f]*)$/u

/**
 * Returns the name in lower case, perhaps with `*.` in front of it, or the fault.
 * `toAscii` turns a name with other than ASCII letters into its `xn--` form, or ''.
 */
export function parseHostName(text: string, toAscii: (name: string) => string): string | HostNameFault {
  const name = text.toLowerCase()
  if (name === '') return fault('HOST_MISSING', 'the host is empty', 'write a name such as "www.example.com"')
  if (/[/@?#]/u.test(name)) {
    const inner = name.replace(/^[a-z][a-z0-9+.-]*:\/\//u, '').replace(/[/?#].*$/u, '')
    return fault(
      'HOST_INVALID',
      `"${text}" is not a host name`,
      `write the name alone: "${inner.replace(/^.*@/u, '')}"`,
    )
  }
  if (parseIpAddress(name.replace(/^\[(.*)\]$/u, '$1'))) return addressFault(text)
  const withPort = /^(.*):(\d*)$/u.exec(name)
  if (withPort) {
    const [, bare = ''] = withPort
    if (parseIpAddress(bare.replace(/^\[(.*)\]$/u, '$1'))) return addressFault(text)
    return fault('HOST_WITH_PORT', `"${text}" has a port`, `write "${bare}"; ports belong to the listener`)
  }
  if (!ASCII.test(name)) {
    const ascii = toAscii(name)
    const hint = ascii === '' ? 'write the xn-- form of the name' : `write "${ascii}"`
    return fault('HOST_INVALID', `"${text}" has letters outside ASCII`, hint)
  }
  return checkLabels(name, text)
}

function checkLabels(name: string, text: string): string | HostNameFault {
  const invalid = (message: string, hint: string) => fault('HOST_INVALID', `"${text}" ${message}`, hint)
  if (name.length > NAME_MAX)
    return invalid(`is longer than ${NAME_MAX} characters`, 'no DNS name is that long')
  if (name.endsWith('.')) return invalid('ends in a dot', `write "${name.replace(/\.+$/u, '')}"`)
  const labels = name.split('.')
  if (labels.includes('*', 1))
    return invalid('has * elsewhere than in front', 'write a name such as "*.example.com"')
  if (name === '*') return invalid('is not a host name', 'list each name, or write "*.example.com"')
  for (const label of labels[0] === '*' ? labels.slice(1) : labels) {
    if (label === '')
      return invalid('has an empty label', `write "${name.split('.').filter(Boolean).join('.')}"`)
    if (label.length > LABEL_MAX) {
      return invalid(`has a label longer than ${LABEL_MAX} characters`, `shorten "${label.slice(0, 20)}..."`)
    }
    if (label.includes('*')) return invalid('has * inside a label', 'write a name such as "*.example.com"')
    if (!LABEL.test(label)) {
      return invalid(`has the label "${label}"`, 'a label is letters, digits and inner hyphens')
    }
  }
  return NUMERIC_LABEL.test(labels.at(-1) ?? '') ? addressFault(text) : name
}

/** Whether a certificate for `certificateName` may be shown for `host`, both lower case; a `*` stands for one label. */
export function nameCovers(certificateName: string, host: string): boolean {
  if (certificateName === host) return true
  // RFC 9525 6.3: the wildcard is the whole leftmost label, and matches exactly one.
  return certificateName.startsWith('*.') && certificateName.slice(1) === host.slice(host.indexOf('.'))
}

/** Whether one of `names` covers `host`, in constant time; see nameCovers. */
export function namesCover(names: ReadonlySet<string>, host: string): boolean {
  const dot = host.indexOf('.')
  return names.has(host) || (dot >= 0 && names.has(`*${host.slice(dot)}`))
}

function addressFault(text: string): HostNameFault {
  return fault('HOST_IS_ADDRESS', `"${text}" is an IP address`, 'write a name; addresses belong in bind_addr')
}

function fault(code: HostNameFault['code'], message: string, hint: string): HostNameFault {
  return { code, message, hint }
}
