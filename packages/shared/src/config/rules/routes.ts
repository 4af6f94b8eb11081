// Rules about routes: valid paths and conditions, and no two routes of a site that match the same requests.
import { isToken } from '../../http-token.ts'
import { normalPath } from '../../url-path.ts'
import { configIssue, formatPath, type ConfigIssue, type ConfigPath } from '../issues.ts'
import { everySiteOf, routesOf, type Located, type Rule } from './rule.ts'
import { canTellApart, conditionCount, toRouteMatch } from '../sites/route-match.ts'
import type { RouteFile, Valid } from '../schema.ts'

export const ruleRoutePaths: Rule = function* (file) {
  for (const site of everySiteOf(file)) {
    for (const { value, at } of routesOf(site)) {
      if (value.path === undefined) continue
      const fault = pathFault(value.path)
      if (fault !== undefined)
        yield configIssue('ROUTE_PATH_INVALID', [...at, 'path'], fault.message, fault.hint)
    }
  }
}

function pathFault(path: string): { message: string; hint: string } | undefined {
  if (!path.startsWith('/')) {
    return { message: `"${path}" does not begin with a slash`, hint: `write "/${path.replace(/^\W+/u, '')}"` }
  }
  if (/[?#]/u.test(path)) {
    const hint = `write "${path.replace(/[?#].*$/u, '')}"; match_query is for the query`
    return { message: `"${path}" has more than a path`, hint }
  }
  if (path.includes('*')) {
    const hint = `write "${path.replace(/\*.*$/u, '')}": a path that ends with a slash is for all below it`
    return { message: `"${path}" has a *: paths have no patterns`, hint }
  }
  if (/[\u0000-\u001f\u007f\\;]/u.test(path)) {
    const message = `"${path}" has a character that servers read in different ways`
    return { message, hint: 'leave out backslashes, semicolons and control characters' }
  }
  const normal = normalPath(path)
  if (normal === path) return undefined
  return {
    message: `"${path}" is not in normal form, in which paths are compared`,
    hint: `write "${normal}"`,
  }
}

export const ruleRouteConditions: Rule = function* (file) {
  for (const site of everySiteOf(file)) for (const route of routesOf(site)) yield* conditionFaults(route)
}

function* conditionFaults({ value, at }: Located<Valid<RouteFile>>): Generator<ConfigIssue> {
  for (const [index, method] of (value.methods ?? []).entries()) {
    if (method === undefined || (isToken(method) && method === method.toUpperCase())) continue
    const message = `"${method}" is not a method`
    const hint = isToken(method) ? `write "${method.toUpperCase()}"` : 'write a method such as "POST"'
    yield configIssue('ROUTE_CONDITION_INVALID', [...at, 'methods', index], message, hint)
  }
  for (const name of Object.keys(value.match_headers ?? {})) {
    if (isToken(name)) continue
    const message = `"${name}" is not a name of a header field`
    const path: ConfigPath = [...at, 'match_headers', name]
    yield configIssue('ROUTE_CONDITION_INVALID', path, message, 'write letters, digits and hyphens')
  }
}

/** No two routes with the same path and number of conditions match the same request. */
export const ruleAmbiguousRoutes: Rule = function* (file) {
  for (const site of everySiteOf(file)) {
    const groups = new Map<string, { match: ReturnType<typeof toRouteMatch>; at: ConfigPath }[]>()
    for (const { value, at } of routesOf(site)) {
      if (value.path === undefined) continue
      const match = toRouteMatch(value.path, value)
      const key = `${conditionCount(match)} ${match.path}`
      const group = groups.get(key) ?? []
      const other = group.find((one) => !canTellApart(one.match, match))
      if (other !== undefined) {
        const message = `a request for "${value.path}" may be for this route and for ${formatPath(other.at)}`
        const hint = 'remove one, or add a condition: methods, match_headers or match_query'
        yield configIssue('ROUTE_AMBIGUOUS', [...at, 'path'], message, hint)
      }
      group.push({ match, at })
      groups.set(key, group)
    }
  }
}
