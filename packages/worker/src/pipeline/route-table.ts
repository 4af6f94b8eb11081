// Finds the route of a site for a request: the one with the longest path whose conditions are met. The cost depends on
// the depth of the paths, not on the number of routes. Rejects a path that upstreams may read in two ways if these lead
// to different routes.
import type { FieldCondition, RouteMatch } from '@reverse-proxy/shared/config/config'
import { conditionCount } from '@reverse-proxy/shared/config/sites/route-match'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { decodeOnce, normalPath } from '@reverse-proxy/shared/url-path'
import { lowerFieldName } from '../message/field-names.ts'
import { readingsOf } from '../message/path-readings.ts'

export interface MatchedRequest {
  readonly method: string
  readonly rawHeaders: readonly string[]
}

interface Candidate<T> {
  readonly match: RouteMatch
  readonly route: T
}

/** A segment of paths. */
interface Node<T> {
  readonly children: Map<string, Node<T>>
  /** Routes for the path that ends here. */
  readonly exact: Candidate<T>[]
  /** Routes for that path and every path below it. */
  readonly subtree: Candidate<T>[]
}

export class RouteTable<T extends object> {
  readonly #root: Node<T> = newNode()
  readonly #own: T

  /** @param own serves requests that no route matches */
  constructor(own: T, routes: Iterable<readonly [RouteMatch, T]>) {
    this.#own = own
    for (const [match, route] of routes) this.#add({ match, route })
  }

  /**
   * @param target path and query as the client sent them
   * @throws ProxyError AMBIGUOUS_PATH
   */
  lookup(target: string, request: MatchedRequest): T {
    const queryAt = target.indexOf('?')
    const path = queryAt === -1 ? target : target.slice(0, queryAt)
    const query = queryAt === -1 ? '' : target.slice(queryAt + 1)
    const found = this.#find(normalPath(path), request, query)
    const readings = readingsOf(path)
    if (readings === undefined) throw ambiguous()
    for (const reading of readings.others) {
      if (this.#find(reading, request, query) !== found) throw ambiguous()
    }
    for (const literal of readings.literals) {
      const other = this.#find(literal, request, query)
      if (other !== found && other !== this.#own) throw ambiguous()
    }
    return found
  }

  #find(path: string, request: MatchedRequest, query: string): T {
    let node = this.#root
    let found = select(node.subtree, request, query) ?? this.#own
    // Behind the slash in front of a segment.
    let start = 1
    while (start <= path.length) {
      const slash = path.indexOf('/', start)
      const child = node.children.get(slash === -1 ? path.slice(start) : path.slice(start, slash))
      if (child === undefined) break
      found = select(child.subtree, request, query) ?? found
      if (slash === -1) return select(child.exact, request, query) ?? found
      node = child
      start = slash + 1
    }
    return found
  }

  #add(candidate: Candidate<T>): void {
    const { path } = candidate.match
    let node = this.#root
    for (const segment of path.split('/').filter((part) => part !== '')) {
      let child = node.children.get(segment)
      if (child === undefined) node.children.set(segment, (child = newNode()))
      node = child
    }
    const list = path.endsWith('/') ? node.subtree : node.exact
    list.push(candidate)
    list.sort((a, b) => conditionCount(b.match) - conditionCount(a.match))
  }
}

function newNode<T>(): Node<T> {
  return { children: new Map(), exact: [], subtree: [] }
}

function ambiguous(): ProxyError {
  return new ProxyError('AMBIGUOUS_PATH', 'a path that can be read in two ways, for different routes')
}

function select<T>(
  candidates: readonly Candidate<T>[],
  request: MatchedRequest,
  query: string,
): T | undefined {
  for (const { match, route } of candidates) if (isMet(match, request, query)) return route
  return undefined
}

function isMet({ methods, headers, query }: RouteMatch, request: MatchedRequest, queryText: string): boolean {
  if (methods.length > 0 && !methods.includes(request.method)) return false
  for (const condition of headers) if (!isFieldMet(condition, request.rawHeaders)) return false
  if (query.length === 0) return true
  const parameters = parametersOf(queryText)
  return query.every(({ name, value }) => {
    const given = parameters.get(name)
    return given !== undefined && (value === undefined || given === value)
  })
}

/** The values of a repeated field are one list (RFC 9110 5.3). */
function isFieldMet({ name, value }: FieldCondition, rawHeaders: readonly string[]): boolean {
  let given: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (lowerFieldName(rawHeaders[i]!) !== name) continue
    given = given === undefined ? rawHeaders[i + 1]! : `${given}, ${rawHeaders[i + 1]!}`
  }
  return given !== undefined && (value === undefined || given === value)
}

/** The first of a name counts. A character for each byte. */
function parametersOf(query: string): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const pair of query.split('&')) {
    const [name = '', ...value] = pair.replaceAll('+', ' ').split('=')
    const decoded = decodeOnce(name)
    if (!parameters.has(decoded)) parameters.set(decoded, decodeOnce(value.join('=')))
  }
  return parameters
}
