// The real probes of `doctor` for one configuration. They leave no change behind; the one of a directory writes a file
// and removes it again.
import { readFile, access, constants, lstat, readdir, rm, stat } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import { systemClock } from '@reverse-proxy/shared/clock'
import type { AcmeSettings, Config } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import { isRecord } from '@reverse-proxy/shared/json'
import { readCaRoots } from '../../certificates/acme-client/operator-files.ts'
import { ACME_LIMITS } from '../../certificates/acme-client/transport/time-limits.ts'
import { AcmeTransport } from '../../certificates/acme-client/transport/transport.ts'
import { inspectPair } from '../../certificates/crypto/inspect.ts'
import { peekFailure } from '../../certificates/renewal/failure-store.ts'
import { cacheError, createFile, temporaryPath } from '../../certificates/storage/atomic-file.ts'
import { openFileStorage } from '../../certificates/storage/file-storage.ts'
import { unexpectedEntry } from '../../certificates/storage/permissions.ts'
import { askAdmin } from '../../management/admin/client.ts'
import { portHolders } from '../../os/listening-sockets.ts'
import { withTimers } from '../../os/waitable-clock.ts'
import type { DnsProbe } from './dns-probe.ts'
import { canConnect, tryPort, tryUpstream } from './endpoint-probes.ts'
import type { CaDirectory, Probes, DirectoryState } from './probes.ts'

const ADMIN_TIMEOUT_MS = 3_000

export function systemProbes({ adminSocketPath }: Config, dns: DnsProbe): Probes {
  return {
    nowMs: () => systemClock.nowMs(),
    localAddresses,
    addressesOf: async (name) => await dns.addressesOf(name),
    caaOf: async (name) => await dns.caaOf(name),
    receivesMail: async (domain) => await dns.receivesMail(domain),
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

/** Entries checked. A cache has about twenty; a home directory given by mistake has far more. */
const ENTRIES = 1_000
const OTHERS = 0o077

async function probeDirectory(path: string): Promise<DirectoryState> {
  const nearest = await nearestExisting(path)
  const exists = nearest === path
  const fault = await writeFault(path, nearest, exists)
  const isUsable = exists && fault === undefined
  const exposed = isUsable ? await exposedIn(path) : []
  return {
    path: nearest,
    exists,
    fault,
    exposed,
    foreign: isUsable ? await unexpectedEntry(path) : undefined,
  }
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path)
    return path
  } catch (error) {
    const parent = dirname(path)
    return codeOf(error) === 'ENOENT' && parent !== path ? await nearestExisting(parent) : path
  }
}

async function writeFault(path: string, nearest: string, exists: boolean): Promise<DirectoryState['fault']> {
  try {
    if (exists) {
      const probe = temporaryPath(join(path, '.probe'))
      await createFile(probe, 'probe')
      await rm(probe, { force: true })
    } else {
      await access(nearest, constants.W_OK | constants.X_OK)
    }
    return undefined
  } catch (error) {
    const { message, hint = '' } = cacheError(path, error)
    return { message, hint }
  }
}

async function exposedIn(path: string): Promise<string[]> {
  const names = await readdir(path, { recursive: true }).catch(() => [])
  const exposed: string[] = []
  for (const name of ['.', ...names.slice(0, ENTRIES)]) {
    const entry = await lstat(join(path, name)).catch(() => undefined)
    if (entry === undefined || entry.isSymbolicLink()) continue
    if ((entry.mode & OTHERS) !== 0) exposed.push(name === '.' ? 'the directory itself' : name)
  }
  return exposed
}
