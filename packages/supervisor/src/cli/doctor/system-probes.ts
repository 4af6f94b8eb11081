// The real probes of `doctor` for one configuration. They leave no change behind.
import { readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { systemClock } from '@reverse-proxy/shared/clock'
import type { AcmeSettings, Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import { isRecord } from '@reverse-proxy/shared/json'
import { readCaRoots } from '../../certificates/acme-client/operator-files.ts'
import { ACME_LIMITS } from '../../certificates/acme-client/time-limits.ts'
import { AcmeTransport } from '../../certificates/acme-client/transport.ts'
import { askAdmin } from '../../management/admin/client.ts'
import { peekFailure } from '../../certificates/renewal/failure-store.ts'
import { inspectPair } from '../../certificates/crypto/inspect.ts'
import { openFileStorage } from '../../certificates/storage/file-storage.ts'
import { portHolders } from '../../os/port-holder.ts'
import { withTimers } from '../../os/waitable-clock.ts'
import { probeDirectory } from './directory-probe.ts'
import type { DnsProbe } from './dns-probe.ts'
import { canConnect, tryPort, tryUpstream } from './endpoint-probes.ts'
import type { CaDirectory, Probes } from './probes.ts'

const ADMIN_TIMEOUT_MS = 3_000

export function systemProbes({ adminSocketPath }: Config, dns: DnsProbe): Probes {
  return {
    nowMs: () => systemClock.nowMs(),
    localAddresses,
    addressesOf: async (name) => await dns.addressesOf(name),
    caaOf: async (name) => await dns.caaOf(name),
    takesMail: async (domain) => await dns.takesMail(domain),
    runningProxy: async () => await findRunningProxy(adminSocketPath),
    port: tryPort,
    isHeldBy,
    connects: canConnect,
    upstream: tryUpstream,
    caDirectory: readCaDirectory,
    directory: probeDirectory,
    failure: async (cacheDir) => await peekFailure(openFileStorage(cacheDir)),
    cachedCertificate: async (cacheDir) => {
      const pair = await openFileStorage(cacheDir).certificates.peek()
      return pair && inspectPair(pair.certPem, pair.keyPem)
    },
    pair: async (certPath, keyPath) =>
      inspectPair(await readFile(certPath, 'utf8'), await readFile(keyPath, 'utf8')),
  }
}

function localAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((one) => one ?? [])
  return addresses.map(({ address }) => parseIpAddress(address)?.text ?? address)
}

async function findRunningProxy(adminSocketPath: string): Promise<number | undefined> {
  if (adminSocketPath === '') return undefined
  try {
    const answer = await askAdmin(adminSocketPath, 'status', [], { timeoutMs: ADMIN_TIMEOUT_MS })
    return answer.status === 'ok' ? answer.pid : undefined
  } catch (error) {
    if (error instanceof ProxyError) return undefined
    throw error
  }
}

async function isHeldBy(pid: number | undefined, port: number): Promise<boolean> {
  if (pid === undefined) return false
  for await (const holder of portHolders(port)) if (holder.pid === pid) return true
  return false
}

/** Reads the directory of a CA and its time; signs nothing. Throws AcmeError, or ProxyError CONFIG, with a hint. */
async function readCaDirectory(settings: AcmeSettings): Promise<CaDirectory> {
  const { directoryUrl } = settings
  let dateMs: number | undefined
  const transport = new AcmeTransport({
    directoryUrl,
    externalAccount: undefined,
    caPem: await readCaRoots(settings),
    clock: withTimers(systemClock),
    onDate: (nowMs) => (dateMs = nowMs),
    limits: ACME_LIMITS,
    tries: 1,
    signal: AbortSignal.timeout(ACME_LIMITS.requestMs * 2),
  })
  try {
    await transport.urlOf('newOrder')
    const { data } = await transport.get('cannot read the directory', directoryUrl)
    const meta = isRecord(data) ? data['meta'] : undefined
    return { meta: isRecord(meta) ? meta : {}, dateMs }
  } finally {
    transport.close()
  }
}
