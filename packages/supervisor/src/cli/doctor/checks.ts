// Runs every check of `doctor` for one configuration: calls the probes and passes their results to the checks.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { AcmeSettings, Config, Listener } from '@reverse-proxy/shared/config/config'
import { proxyActionsOf, upstreamsOf } from '@reverse-proxy/shared/config/sites'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { findingsOf, type Finding } from './finding.ts'
import { caaIdentitiesOf, checkCa, checkClock, checkContact, contactDomain } from './check-ca.ts'
import { checkPort, checkUpstream, reportUnchecked } from './check-endpoints.ts'
import { climb, checkCaa, checkName } from './check-names.ts'
import { isUsableCache, checkCached, checkDirectory, checkManual, checkLastOrder } from './check-storage.ts'
import type { CaDirectory, Probes, TcpUpstream } from './probes.ts'

const HEALTH_ADDRESS = '127.0.0.1'
const UPSTREAMS_AT_ONCE = 32
/** For one upstream, TLS included. */
const UPSTREAM_TIMEOUT_MS = 10_000
/** For all upstreams. */
const UPSTREAMS_TIMEOUT_MS = 60_000

/** Changes nothing; a failed check is a finding, not a rejection. */
export async function runChecks(config: Config, probes: Probes): Promise<Finding[]> {
  const [ports, upstreams, state, ...listeners] = await Promise.all([
    runPortsChecks(config, probes),
    runUpstreamsChecks(config, probes),
    runStateChecks(config, probes),
    ...config.listeners.map(async (listener) => await runListenerChecks(listener, probes)),
  ])
  return [...ports, ...state, ...listeners.flat(), ...upstreams]
}

async function runPortsChecks(config: Config, probes: Probes): Promise<Finding[]> {
  const proxy = await probes.runningProxy()
  const endpoints = config.listeners.flatMap(({ bindAddrs, httpPort, httpsPort }) =>
    bindAddrs.flatMap((address) => [httpsPort, httpPort].map((port) => ({ address, port }))),
  )
  endpoints.push({ address: HEALTH_ADDRESS, port: config.healthCheckPort })
  return await Promise.all(
    endpoints
      .filter(({ port }) => port !== 0)
      .map(async ({ address, port }) => {
        const state = await probes.port(address, port)
        const isTaken = state.state === 'refused' && state.code === 'EADDRINUSE'
        const heldByProxy = isTaken && (await probes.isHeldBy(proxy, port)) ? proxy : undefined
        const connects = heldByProxy !== undefined && (await probes.connects(address, port))
        return checkPort({ address, port, state, heldByProxy, connects })
      }),
  )
}

interface UpstreamTarget {
  readonly upstream: TcpUpstream
  /** The longest connect timeout of its sites. */
  timeoutMs: number
  readonly hosts: Set<string>
}

/** Checks each upstream once, a few at a time, within a limit for all of them. */
async function runUpstreamsChecks({ listeners }: Config, probes: Probes): Promise<Finding[]> {
  const targets = new Map<string, UpstreamTarget>()
  for (const site of listeners.flatMap(({ sites }) => sites)) {
    for (const action of proxyActionsOf([site])) {
      for (const upstream of upstreamsOf(action)) {
        if (upstream.kind !== 'tcp') continue
        const key = JSON.stringify(upstream)
        const target = targets.get(key) ?? { upstream, timeoutMs: 0, hosts: new Set<string>() }
        target.timeoutMs = Math.max(target.timeoutMs, action.connectTimeoutMs)
        // Several routes of a site may lead to one upstream.
        for (const host of site.hosts) target.hosts.add(host)
        targets.set(key, target)
      }
    }
  }
  const findings: Finding[] = []
  const waiting = targets.values()
  const deadline = AbortSignal.timeout(UPSTREAMS_TIMEOUT_MS)
  let begun = 0
  const probeNext = async (): Promise<void> => {
    for (const { upstream, timeoutMs, hosts } of waiting) {
      begun++
      const limit = AbortSignal.timeout(Math.min(timeoutMs, UPSTREAM_TIMEOUT_MS))
      const state = await probes.upstream(upstream, AbortSignal.any([deadline, limit]))
      findings.push(checkUpstream(upstream, [...hosts], state))
      if (deadline.aborted) return
    }
  }
  await Promise.all(Array.from({ length: UPSTREAMS_AT_ONCE }, probeNext))
  const unchecked = targets.size - begun
  return unchecked === 0 ? findings : [...findings, reportUnchecked(unchecked)]
}

/** The internal CA and the accounts at ACME CAs are stored there. */
async function runStateChecks({ stateDir, listeners }: Config, probes: Probes): Promise<Finding[]> {
  if (listeners.every(({ tls }) => tls.mode === 'manual' || tls.mode === 'off')) return []
  return [checkDirectory('state', stateDir, await probes.directory(stateDir))]
}

async function runListenerChecks(listener: Listener, probes: Probes): Promise<Finding[]> {
  const { tls } = listener
  switch (tls.mode) {
    case 'acme':
      return await runAcmeChecks(listener, tls, probes)
    case 'manual':
      return await Promise.all(
        tls.pairs.map(async ({ certPath, keyPath }) =>
          checkManual(certPath, await probes.pair(certPath, keyPath), probes.nowMs()),
        ),
      )
    case 'internal':
    case 'off':
      return []
    default:
      return assertNever(tls)
  }
}

async function runAcmeChecks(listener: Listener, settings: AcmeSettings, probes: Probes): Promise<Finding[]> {
  const [names, authority, storage, contact] = await Promise.all([
    runNamesChecks(listener, settings, probes),
    runAuthorityChecks(settings, probes),
    runStorageChecks(settings, probes),
    runContactChecks(settings, probes),
  ])
  return [...names, ...authority, ...storage, contact]
}

async function runNamesChecks(
  listener: Listener,
  { domains }: AcmeSettings,
  probes: Probes,
): Promise<Finding[]> {
  const local = probes.localAddresses()
  return await Promise.all(
    domains.map(async (name) => checkName(name, await probes.addressesOf(name), listener, local)),
  )
}

async function runAuthorityChecks(settings: AcmeSettings, probes: Probes): Promise<Finding[]> {
  let directory: CaDirectory
  try {
    directory = await probes.caDirectory(settings)
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    return [
      findingsOf('ca', settings.directoryUrl).fail(error.message, error.hint ?? 'see tls.acme_directory'),
    ]
  }
  const identities = caaIdentitiesOf(directory)
  const caa = settings.domains.map(async (name) => await runCaaChecks(name, identities, settings, probes))
  return [
    checkCa(settings, directory),
    checkClock(settings, directory, probes.nowMs()),
    ...(await Promise.all(caa)),
  ]
}

async function runCaaChecks(
  name: string,
  identities: readonly string[],
  { challenge }: AcmeSettings,
  probes: Probes,
): Promise<Finding> {
  let at = name
  for (at of climb(name)) {
    const records = await probes.caaOf(at)
    if ('fault' in records || records.found.length > 0) {
      return checkCaa({ name, records, at, identities, challenge })
    }
  }
  return checkCaa({ name, records: { found: [] }, at, identities, challenge })
}

async function runStorageChecks(settings: AcmeSettings, probes: Probes): Promise<Finding[]> {
  const { cacheDir } = settings
  const nowMs = probes.nowMs()
  const state = await probes.directory(cacheDir)
  const directory = checkDirectory('cache', cacheDir, state)
  if (directory.status === 'fail') return [directory]
  const cached = await probes.cachedCertificate(cacheDir)
  const isUsable = isUsableCache(settings, cached, nowMs)
  const lastOrder = checkLastOrder(settings, await probes.failure(cacheDir), isUsable, nowMs)
  return [directory, lastOrder, checkCached(settings, cached, nowMs)]
}

async function runContactChecks(settings: AcmeSettings, probes: Probes): Promise<Finding> {
  const domain = contactDomain(settings)
  return checkContact(settings, domain !== undefined && (await probes.receivesMail(domain)))
}
