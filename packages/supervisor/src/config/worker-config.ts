// The part of the configuration that workers get: nothing about keys, files or the CA. Workers read no files, so the
// trusted certificates are part of it.
import { getCACertificates } from 'node:tls'
import type { Config } from '@reverse-proxy/shared/config/config'
import { proxyActionsOf, settingsOf } from '@reverse-proxy/shared/config/sites'
import type { WorkerConfig } from '@reverse-proxy/shared/ipc/messages'

export function toWorkerConfig(config: Config): WorkerConfig {
  return {
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    logging: config.logging,
    rateLimit: config.rateLimit,
    ban: config.ban,
    limits: config.limits,
    upstreamRoots: hasVerifiedUpstream(config) ? systemRoots() : [],
    listeners: config.listeners.map(({ id, bindAddrs, httpPort, httpsPort, clientAuth, clients, sites }) => ({
      id,
      bindAddrs,
      httpPort,
      httpsPort,
      clientAuth,
      clients,
      sites,
    })),
  }
}

function hasVerifiedUpstream({ listeners }: Config): boolean {
  return listeners.some(
    ({ sites }) =>
      [...proxyActionsOf(sites)].some(
        ({ upstream }) => upstream.kind === 'tcp' && upstream.scheme === 'https',
      ) || [...settingsOf(sites)].some(({ forwardAuth }) => forwardAuth?.scheme === 'https'),
  )
}

let roots: readonly string[] | undefined

/** The certificates that this machine trusts, as PEM. Read once, at the first call. */
export function systemRoots(): readonly string[] {
  roots ??= readRoots()
  return roots
}

function readRoots(): readonly string[] {
  // The system's bundle and its directory contain the same certificates.
  const system = new Set(getCACertificates('system'))
  // Some images have none: use the certificates that the runtime brings.
  return system.size > 0 ? [...system] : getCACertificates('bundled')
}
