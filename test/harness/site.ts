// The proxy in front of one upstream, with a certificate of the tests' own CA: what most tests need.
import type { TestContext } from 'node:test'
import { freePort } from './ports.ts'
import type { FileConfig, Proxy, ProxyOptions } from './proxy.ts'
import { startProxy } from './proxy.ts'
import type { RequestOptions } from './clients/request.ts'
import { TestCa } from './tls-material.ts'

export const HOST = 'site.test'

export interface SiteOptions {
  readonly upstream: string
  readonly bindAddr?: string | readonly string[]
  /** More keys of the site's table. */
  readonly site?: FileConfig
  /** More keys of the whole file. */
  readonly config?: FileConfig
  readonly program?: ProxyOptions
}

export interface ServedSite {
  readonly proxy: Proxy
  readonly httpsPort: number
  readonly httpPort: number
  /** What `request` and `request2` need to get there. */
  readonly target: RequestOptions
}

/** Serves HOST from `upstream`; resolves when traffic is served. */
export async function serveSite(t: TestContext, options: SiteOptions): Promise<ServedSite> {
  const ca = await TestCa.create(t)
  const leaf = await ca.issue([HOST])
  const [httpsPort, httpPort] = [await freePort(), await freePort()]
  const proxy = await startProxy(
    t,
    {
      ...options.config,
      listeners: [
        {
          bind_addr: options.bindAddr ?? '127.0.0.1',
          https_port: httpsPort,
          http_port: httpPort,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: [{ host: HOST, upstream: options.upstream, ...options.site }],
        },
      ],
    },
    options.program,
  )
  return { proxy, httpsPort, httpPort, target: { host: HOST, port: httpsPort, ca: ca.certPem } }
}
