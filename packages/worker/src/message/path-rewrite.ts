// Rewrites the path of a request for the upstream or for a redirect. Pure.
import { encodePath, normalPath } from '@reverse-proxy/shared/url-path'

/** In a path with any of these, only the normal form shows which part follows the path of a route. */
const UNUSUAL = /\/\/|\/\.|%2e|%2f|\\|%5c/i

/** Replaces the path of a route at the start of a request's path by a prefix. */
export class PathRewrite {
  readonly #routePath: string
  readonly #strips: boolean
  readonly #prefix: string

  /**
   * @param routePath in normal form
   * @param prefix '' or a path without a slash at its end
   */
  constructor(routePath: string, strips: boolean, prefix: string) {
    this.#routePath = routePath
    this.#strips = strips
    this.#prefix = prefix
  }

  /** @param target path and query as the client sent them */
  apply(target: string): string {
    return `${this.#prefix}${this.#strips ? `/${restOf(target, this.#routePath)}` : target}`
  }
}

/**
 * Returns the part of a request's path behind the path of its route, with the query and without a leading slash, so that
 * no host can result. The bytes are the client's own, unless the client spells the path of the route differently, or
 * dot segments could lead out of it.
 */
export function restOf(target: string, routePath: string): string {
  const queryAt = target.indexOf('?')
  const path = queryAt === -1 ? target : target.slice(0, queryAt)
  const query = queryAt === -1 ? '' : target.slice(queryAt)
  const isPlain = path.startsWith(routePath) && !UNUSUAL.test(path)
  const rest = isPlain ? path.slice(routePath.length) : encodePath(normalPath(path).slice(routePath.length))
  return `${rest.replace(/^[/\\]+/, '')}${query}`
}
