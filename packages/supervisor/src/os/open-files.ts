// Fits the numbers of client and upstream connections of a worker to the limit on open files of a process.
import { readFile } from 'node:fs/promises'
import type { Config, Site } from '@reverse-proxy/shared/config/config'
import { proxyActionsOf } from '@reverse-proxy/shared/config/sites'
import type { LogFields } from '@reverse-proxy/shared/log-fields'

/** Descriptors of a worker without connections: runtime, log, messages. Listening sockets are counted separately. */
const RESERVED = 48
const PORTS_PER_LISTENER = 2
const FEWEST_CONNECTIONS = 8

type FittedConfig = Pick<Config, 'listeners' | 'limits'>

/** The limit of this process, which workers inherit; undefined if the kernel reports or sets none. */
export async function openFileLimit(): Promise<number | undefined> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  const [, soft] = /^Max open files\s+(\d+)/mu.exec(limits) ?? []
  return soft === undefined ? undefined : Number(soft)
}

/**
 * The number of client connections that a worker of `config` can hold within `room` descriptors. Leaves some to upstream
 * connections: as many as can wait for a response head, but at most half.
 */
function fittingConnections({ listeners, limits }: FittedConfig, room: number): number {
  const upstreams = listeners.reduce((sum, { sites }) => sum + countUpstreams(sites), 0)
  const besideUpstreams = room - upstreams * limits.upstreamConnectionsPerSite
  return Math.max(FEWEST_CONNECTIONS, Math.floor(room / 2), besideUpstreams)
}

/** Each site has connections of its own to each of its upstreams. */
function countUpstreams(sites: readonly Site[]): number {
  return sites.reduce((sum, site) => {
    const upstreams = new Set([...proxyActionsOf([site])].map(({ upstream }) => JSON.stringify(upstream)))
    return sum + upstreams.size
  }, 0)
}

/**
 * Lowers `connections_per_worker` to what fits, with a warning if it did, and bounds the upstream connections of a worker
 * by what is left.
 */
export function fitConnections(
  config: Config,
  limit: number | undefined,
): { readonly config: Config; readonly warning?: LogFields } {
  if (limit === undefined) return { config }
  const { connectionsPerWorker: wanted } = config.limits
  const sockets = config.listeners.reduce(
    (sum, { bindAddrs }) => sum + bindAddrs.length * PORTS_PER_LISTENER,
    0,
  )
  const room = limit - RESERVED - sockets
  const connectionsPerWorker = Math.min(wanted, fittingConnections(config, room))
  const upstreamConnectionsPerWorker = Math.max(FEWEST_CONNECTIONS, room - connectionsPerWorker)
  const fitted = {
    ...config,
    limits: { ...config.limits, connectionsPerWorker, upstreamConnectionsPerWorker },
  }
  if (connectionsPerWorker === wanted) return { config: fitted }
  return {
    config: fitted,
    warning: {
      error: 'connections_per_worker does not fit into the open-file limit and is lowered',
      open_file_limit: limit,
      connections_per_worker: wanted,
      lowered_to: connectionsPerWorker,
      hint: 'raise it: LimitNOFILE= in the unit, or ulimit -n',
    },
  }
}
