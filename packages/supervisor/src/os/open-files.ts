// Fits the configured number of connections to the limit on open files of a process.
import { readFile } from 'node:fs/promises'
import type { Config } from '@reverse-proxy/shared/config/config'
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
 * The number of connections that a worker of `config` can hold within `limit` open files. Reserves the descriptors of
 * upstream connections, up to half of the limit.
 */
function fittingConnections({ listeners, limits }: FittedConfig, limit: number): number {
  const sockets = listeners.reduce((sum, { bindAddrs }) => sum + bindAddrs.length * PORTS_PER_LISTENER, 0)
  const sites = listeners.reduce((sum, listener) => sum + listener.sites.length, 0)
  const room = limit - RESERVED - sockets
  const besideUpstreams = room - sites * limits.upstreamConnectionsPerSite
  return Math.max(FEWEST_CONNECTIONS, Math.floor(room / 2), besideUpstreams)
}

/** Lowers `connections_per_worker` to what fits, and returns a warning if it did. */
export function fitConnections(
  config: Config,
  limit: number | undefined,
): { readonly config: Config; readonly warning?: LogFields } {
  const { connectionsPerWorker } = config.limits
  const fitting = limit === undefined ? Infinity : fittingConnections(config, limit)
  if (connectionsPerWorker <= fitting) return { config }
  return {
    config: { ...config, limits: { ...config.limits, connectionsPerWorker: fitting } },
    warning: {
      error: 'connections_per_worker does not fit into the open-file limit and is lowered',
      open_file_limit: limit,
      connections_per_worker: connectionsPerWorker,
      lowered_to: fitting,
      hint: 'raise it: LimitNOFILE= in the unit, or ulimit -n',
    },
  }
}
