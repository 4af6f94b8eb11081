// Rules about one site: its host, its upstream, and keys that do nothing where they stand.
import { parseHostName } from './host-name.ts'
import { configIssue, formatPath } from './issues.ts'
import { everyHostOf, everySiteOf, hostsOf, type Rule } from './rule.ts'
import { parseUpstream } from './upstream.ts'

/** 6, 15 and 16 */
export const ruleHosts: Rule = function* (file, { toAscii }) {
  for (const { value, at } of everyHostOf(file)) {
    const name = parseHostName(value, toAscii)
    if (typeof name !== 'string') yield configIssue(name.code, at, name.message, name.hint)
  }
}

/** 7 */
export const ruleUniqueHosts: Rule = function* (file) {
  const first = new Map<string, string>()
  for (const site of everySiteOf(file)) {
    for (const { value, at } of hostsOf(site)) {
      if (value === '') continue
      const host = value.toLowerCase()
      const owner = first.get(host)
      if (owner === undefined) {
        first.set(host, formatPath(site.at))
      } else {
        const message = `"${host}" is already the host of ${owner}`
        yield configIssue('HOST_DUPLICATE', at, message, 'remove one of the two, or write another name')
      }
    }
  }
}

/** 6 and 17 */
export const ruleUpstreams: Rule = function* (file) {
  for (const { value, at } of everySiteOf(file)) {
    if (value.upstream === undefined) continue
    const key = [...at, 'upstream']
    if (value.upstream === '') {
      yield configIssue(
        'UPSTREAM_MISSING',
        key,
        'the upstream is empty',
        'write host:port, such as "127.0.0.1:3000"',
      )
      continue
    }
    const upstream = parseUpstream(value.upstream)
    if ('message' in upstream) yield configIssue('UPSTREAM_INVALID', key, upstream.message, upstream.hint)
  }
}

export const ruleUnusedKeys: Rule = function* (file) {
  if (file.group !== undefined && !Object.hasOwn(file, 'user')) {
    yield configIssue(
      'KEY_UNUSED',
      ['group'],
      'group has no effect without user',
      'add user, or remove group',
    )
  }
  for (const { value, at } of everySiteOf(file)) {
    if (value.upstream_ca_file === undefined || value.upstream_scheme !== 'http') continue
    const message = 'upstream_ca_file has no effect on an upstream with upstream_scheme = "http"'
    const hint = 'add upstream_scheme = "https", or remove upstream_ca_file'
    yield configIssue('KEY_UNUSED', [...at, 'upstream_ca_file'], message, hint)
  }
}
