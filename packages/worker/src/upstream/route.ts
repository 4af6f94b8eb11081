// Where the requests for one host go.
import type { Site } from '@reverse-proxy/shared/config/config'
import type { UpstreamPool } from './pool.ts'

export interface Route {
  readonly site: Site
  readonly pool: UpstreamPool
}
