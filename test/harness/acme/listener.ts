// A listener of a configuration file whose certificate comes from a CA under test.
import type { AcmeServer } from './fault-proxy.ts'
import type { FileConfig } from '../proxy.ts'

export interface AcmeListener {
  readonly ca: AcmeServer
  /** Of the certificate, with a site each. */
  readonly names: readonly string[]
  readonly httpsPort: number
  /** 0 unless told: none. */
  readonly httpPort?: number
  readonly bindAddr?: string | readonly string[]
  /** Relative to the configuration file. */
  readonly cacheDir?: string
  /** Of every site; nobody listens there unless told. */
  readonly upstream?: string
  readonly contact?: string
  readonly challenge?: 'tls-alpn-01' | 'http-01'
}

export function acmeListener({
  ca,
  names,
  httpsPort,
  httpPort = 0,
  bindAddr = '127.0.0.1',
  cacheDir = 'acme',
  upstream = '127.0.0.1:1',
  contact = `mailto:ops@${names[0]}`,
  challenge,
}: AcmeListener): FileConfig {
  return {
    bind_addr: bindAddr,
    https_port: httpsPort,
    http_port: httpPort,
    tls: {
      mode: 'acme',
      acme_domains: names,
      acme_cache_dir: cacheDir,
      acme_directory: ca.directoryUrl,
      acme_ca_file: ca.caFile,
      acme_contact: contact,
      ...(challenge && { acme_challenge: challenge }),
    },
    sites: names.map((host) => ({ host, upstream })),
  }
}
