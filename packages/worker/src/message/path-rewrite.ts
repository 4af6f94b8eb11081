// The path that goes upstream, or into a redirect, where it is not the one that came. Pure.
import { encodePath, normalPath } from '@reverse-proxy/shared/url-path'

/** In a path with it, what follows the path of a route can be told from the normal form alone. */
const UNUSUAL = /\/\/|\/\.|%2e|%2f|\\|%5c/i

/** Takes the path of a route from the front of a request's path and puts another in its place. */
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

  /** @param target path and query as they came */
  apply(target: string): string {
    return `${this.#prefix}${this.#strips ? `/${restOf(target, this.#routePath)}` : target}`
  }
}

/**
 * The rest of a request's path behind the path of its route, with the query; no slash in front, so that nothing can
 * become a host. The bytes are those that came, unless the path of the route is spelt in another way, or dot segments
 * could lead out of it.
 */
export function restOf(target: string, routePath: string): string {
  const queryAt = target.indexOf('?')
  const path = queryAt === -1 ? target : target.slice(0, queryAt)
  const query = queryAt === -1 ? '' : target.slice(queryAt)
  const isPlain = path.startsWith(routePath) && !UNUSUAL.test(path)
  const rest = isPlain ? path.slice(routePath.length) : encodePath(normalPath(path).slice(routePath.length))
  return `${rest.replace(/^[/\\]+/, '')}${query}`
}
