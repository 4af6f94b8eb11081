// What the upstream got for a request, held against what its client meant.
import type { Fate, Meant } from './fate.ts'
import { valuesOf, type StrictRequest } from './strict-requests.ts'

/**
 * @param isExact false: the client's bytes have been changed at random, so that only the number counts
 * @param followsRest bytes of a body that a changed head no longer announces may stand in front of the method: any
 * token is one
 */
export function judgeArrived(
  meant: Meant,
  arrived: readonly StrictRequest[],
  isExact: boolean,
  followsRest = false,
): string[] {
  if (arrived.length > 1) return [`arrived ${arrived.length} times`]
  const [request] = arrived
  if (request === undefined || !isExact) return []
  const findings: string[] = []
  const compare = (what: string, actual: string, expected: string): void => {
    if (actual !== expected)
      findings.push(`${what} ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`)
  }
  if (!followsRest || !request.method.endsWith(meant.method)) compare('method', request.method, meant.method)
  compare('path', request.path, meant.path)
  compare('body', request.body, meant.body)
  compare('Host', valuesOf(request, 'host').join(), meant.authority)
  for (const name of ['x-forwarded-for', 'x-real-ip']) {
    compare(name, valuesOf(request, name).join(), '127.0.0.1')
  }
  compare('X-Forwarded-Host', valuesOf(request, 'x-forwarded-host').join(), meant.authority)
  if (valuesOf(request, 'x-drop').length > 0) findings.push('a header that Connection names')
  return findings
}

/** @param mayBeLost something before it on its connection may have kept it from being read */
export function judgeFate(fate: Fate, hasArrived: boolean, mayBeLost: boolean): string[] {
  if (hasArrived) return fate === 'served' || fate === 'either' ? [] : [`${fate}, and yet it arrived`]
  return fate === 'served' && !mayBeLost ? ['never arrived'] : []
}
