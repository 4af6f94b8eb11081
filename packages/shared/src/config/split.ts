// Compares two configurations: which settings apply in place, which need fresh workers, and which only a full restart
// applies. Pure.
import type { Config, Listener } from './config.ts'

export interface ConfigChange {
  /** TOML keys of changed settings that only a full restart applies, with their new values. */
  readonly needsRestart: ReadonlyMap<string, unknown>
  /** Sockets, TLS modes, the number of workers or logging changed. */
  readonly needsFreshWorkers: boolean
  readonly added: readonly Listener[]
  readonly removed: readonly Listener[]
  /** Listeners in both configurations, with their new settings. */
  readonly kept: readonly Listener[]
}

const SUPERVISOR_SETTINGS = {
  user: (config) => config.user,
  group: (config) => config.group,
  state_dir: (config) => config.stateDir,
  health_check_port: (config) => config.healthCheckPort,
  admin_socket_path: (config) => config.adminSocketPath,
} as const satisfies Record<string, (config: Config) => unknown>

export function compareConfigs(running: Config, next: Config): ConfigChange {
  const before = new Map(running.listeners.map((listener) => [identityOf(listener), listener]))
  const after = new Map(next.listeners.map((listener) => [identityOf(listener), listener]))
  const added = next.listeners.filter((listener) => !before.has(identityOf(listener)))
  const removed = running.listeners.filter((listener) => !after.has(identityOf(listener)))
  return {
    needsRestart: new Map(
      Object.entries(SUPERVISOR_SETTINGS)
        .filter(([, read]) => !isEqual(read(running), read(next)))
        .map(([key, read]) => [key, read(next)]),
    ),
    needsFreshWorkers:
      added.length > 0 ||
      removed.length > 0 ||
      !isEqual(running.workers, next.workers) ||
      !isEqual(running.logging, next.logging),
    added,
    removed,
    kept: next.listeners.filter((listener) => before.has(identityOf(listener))),
  }
}

/** The configuration after a reload: `next`, except settings that only a full restart applies. */
export function afterReload(running: Config, next: Config): Config {
  const { user, group, stateDir, healthCheckPort, adminSocketPath } = running
  return { ...next, user, group, stateDir, healthCheckPort, adminSocketPath }
}

/** A listener with other sockets or another source of certificates counts as another listener. */
function identityOf({ id, httpPort, tls }: Listener): string {
  // Another cache directory or CA has another lock, account and certificate.
  const source = tls.mode === 'acme' ? [tls.cacheDir, tls.directoryUrl] : []
  return JSON.stringify([id, httpPort, tls.mode, ...source])
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
