// Rules about actions: each site has one, each route one at most, and the values of each are valid.
import { ACTION_KEYS, inherit } from '../sites/inherit.ts'
import { configIssue } from '../issues.ts'
import { parseRedirect } from '../sites/redirect.ts'
import { everySettingsOf, everySiteOf, type Rule } from './rule.ts'

/** Each site has an action, and no table has two. */
export const ruleActions: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    const [first, second] = ACTION_KEYS.filter((key) => Object.hasOwn(value, key))
    if (first === undefined || second === undefined) continue
    const message = `${first} and ${second} in one table: only one of them can be done with a request`
    yield configIssue('ACTION_SEVERAL', [...at, second], message, `remove ${first} or ${second}`)
  }
  for (const { value, at } of everySiteOf(file)) {
    const settings = inherit(file.defaults ?? {}, value)
    if (ACTION_KEYS.some((key) => Object.hasOwn(settings, key))) continue
    const message = 'upstream is required, or another action: redirect or respond'
    yield configIssue('UPSTREAM_MISSING', [...at, 'upstream'], message, 'add upstream = "127.0.0.1:3000"')
  }
}

export const ruleRedirects: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    if (value.redirect === undefined) continue
    const redirect = parseRedirect(value.redirect)
    if (!('message' in redirect)) continue
    yield configIssue('REDIRECT_INVALID', [...at, 'redirect'], redirect.message, redirect.hint)
  }
}

/** RFC 9110 15: responses that have no content. */
const WITHOUT_CONTENT: readonly number[] = [204, 205, 304]
const FIELD_VALUE = /^[\t\u0020-\u007e]+$/u

export const ruleResponds: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    const { status, body, content_type: contentType } = value.respond ?? {}
    if (status !== undefined && WITHOUT_CONTENT.includes(status) && body !== undefined && body !== '') {
      const message = `a response with status ${status} has no content`
      yield configIssue('RESPOND_INVALID', [...at, 'respond', 'body'], message, 'remove body')
    }
    if (contentType !== undefined && !FIELD_VALUE.test(contentType)) {
      const message = 'a content type has ASCII letters and signs alone'
      const hint = 'write a type such as "application/json"'
      yield configIssue('RESPOND_INVALID', [...at, 'respond', 'content_type'], message, hint)
    }
  }
}

const PREFIX = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,;=:@%]+)+$/u

export const rulePrefixes: Rule = function* (file) {
  for (const { value, at } of everySettingsOf(file)) {
    if (value.add_prefix === undefined || PREFIX.test(value.add_prefix)) continue
    const message = `"${value.add_prefix}" is not the beginning of a path`
    const hint = 'write a path that begins with a slash and does not end with one, such as "/v2"'
    yield configIssue('PREFIX_INVALID', [...at, 'add_prefix'], message, hint)
  }
}
