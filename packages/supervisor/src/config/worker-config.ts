// The part of the configuration that workers get: nothing about keys, files or the CA.
import type { Config } from '@reverse-proxy/shared/config/config'
import type { WorkerConfig } from '@reverse-proxy/shared/ipc/messages'
import { systemRoots } from './system-roots.ts'

export function toWorkerConfig(config: Config): WorkerConfig {
  return {
    shutdownTimeoutMs: config.shutdownTimeoutMs,
    logging: config.logging,
    rateLimit: config.rateLimit,
    limits: config.limits,
    upstreamRoots: hasVerifiedUpstream(config) ? systemRoots() : [],
    listeners: config.listeners.map(({ id, bindAddrs, httpPort, httpsPort, sites }) => ({
      id,
      bindAddrs,
      httpPort,
      httpsPort,
      sites,
    })),
  }
}

function hasVerifiedUpstream({ listeners }: Config): boolean {
  return listeners.some(({ sites }) =>
    sites.some(({ upstream }) => upstream.kind === 'tcp' && upstream.scheme === 'https'),
  )
}
