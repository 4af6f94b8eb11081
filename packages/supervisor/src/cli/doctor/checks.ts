// All that `doctor` checks for one configuration: asks the probes, and hands what they say to the judges.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { AcmeSettings, Config, Listener } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { Finding } from './finding.ts'
import { judgeOf } from './finding.ts'
import { caaIdentitiesOf, judgeCa, judgeClock } from './check-ca.ts'
import { climb, judgeCaa } from './check-caa.ts'
import { contactDomain, judgeContact } from './check-contact.ts'
import { judgeName } from './check-names.ts'
import { judgePort } from './check-ports.ts'
import { isUsableCache, judgeCached, judgeDirectory, judgeManual, judgeMemory } from './check-storage.ts'
import { judgeUntried, judgeUpstream } from './check-upstreams.ts'
import type { CaDirectory, Probes, TcpUpstream } from './probes.ts'

const HEALTH_ADDRESS = '127.0.0.1'
const UPSTREAMS_AT_ONCE = 32
/** For one, TLS included. */
const UPSTREAM_TIMEOUT_MS = 10_000
/** For all of them. */
const UPSTREAMS_TIMEOUT_MS = 60_000

/** Changes nothing; never rejects for what it finds. */
export async function examine(config: Config, probes: Probes): Promise<Finding[]> {
  const [ports, upstreams, state, ...listeners] = await Promise.all([
    examinePorts(config, probes),
    examineUpstreams(config, probes),
    examineState(config, probes),
    ...config.listeners.map(async (listener) => await examineListener(listener, probes)),
  ])
  return [...ports, ...state, ...listeners.flat(), ...upstreams]
}

async function examinePorts(config: Config, probes: Probes): Promise<Finding[]> {
  const proxy = await probes.runningProxy()
  const places = config.listeners.flatMap(({ bindAddrs, httpPort, httpsPort }) =>
    bindAddrs.flatMap((address) => [httpsPort, httpPort].map((port) => ({ address, port }))),
  )
  places.push({ address: HEALTH_ADDRESS, port: config.healthCheckPort })
  return await Promise.all(
    places
      .filter(({ port }) => port !== 0)
      .map(async ({ address, port }) => {
        const state = await probes.port(address, port)
        const isTaken = state.state === 'refused' && state.code === 'EADDRINUSE'
        const heldByProxy = isTaken && (await probes.isHeldBy(proxy, port)) ? proxy : undefined
        const connects = heldByProxy !== undefined && (await probes.connects(address, port))
        return judgePort({ address, port, state, heldByProxy, connects })
      }),
  )
}

interface UpstreamQuestion {
  readonly upstream: TcpUpstream
  /** The longest that a site is ready to wait for a connection. */
  timeoutMs: number
  readonly hosts: string[]
}

/** Each upstream once, a few at a time, and no longer than somebody is ready to watch. */
async function examineUpstreams({ listeners }: Config, probes: Probes): Promise<Finding[]> {
  const questions = new Map<string, UpstreamQuestion>()
  for (const { host, upstream, connectTimeoutMs } of listeners.flatMap(({ sites }) => sites)) {
    if (upstream.kind !== 'tcp') continue
    const key = JSON.stringify(upstream)
    const question = questions.get(key) ?? { upstream, timeoutMs: 0, hosts: [] }
    question.timeoutMs = Math.max(question.timeoutMs, connectTimeoutMs)
    question.hosts.push(host)
    questions.set(key, question)
  }
  const findings: Finding[] = []
  const waiting = questions.values()
  const patience = AbortSignal.timeout(UPSTREAMS_TIMEOUT_MS)
  let tried = 0
  const askInTurn = async (): Promise<void> => {
    for (const { upstream, timeoutMs, hosts } of waiting) {
      tried++
      const limit = AbortSignal.timeout(Math.min(timeoutMs, UPSTREAM_TIMEOUT_MS))
      const state = await probes.upstream(upstream, AbortSignal.any([patience, limit]))
      findings.push(judgeUpstream(upstream, hosts, state))
      if (patience.aborted) return
    }
  }
  await Promise.all(Array.from({ length: UPSTREAMS_AT_ONCE }, askInTurn))
  const untried = questions.size - tried
  return untried === 0 ? findings : [...findings, judgeUntried(untried)]
}

/** The internal CA writes there, and accounts at ACME CAs are kept there. */
async function examineState({ stateDir, listeners }: Config, probes: Probes): Promise<Finding[]> {
  if (listeners.every(({ tls }) => tls.mode === 'manual')) return []
  return [judgeDirectory('state', stateDir, await probes.directory(stateDir))]
}

async function examineListener(listener: Listener, probes: Probes): Promise<Finding[]> {
  const { tls } = listener
  switch (tls.mode) {
    case 'acme':
      return await examineAcme(listener, tls, probes)
    case 'manual':
      return await Promise.all(
        tls.pairs.map(async ({ certPath, keyPath }) =>
          judgeManual(certPath, await probes.pair(certPath, keyPath), probes.nowMs()),
        ),
      )
    case 'internal':
      return []
    default:
      return assertNever(tls)
  }
}

async function examineAcme(listener: Listener, settings: AcmeSettings, probes: Probes): Promise<Finding[]> {
  const [names, authority, storage, contact] = await Promise.all([
    examineNames(listener, settings, probes),
    examineAuthority(settings, probes),
    examineStorage(settings, probes),
    examineContact(settings, probes),
  ])
  return [...names, ...authority, ...storage, contact]
}

async function examineNames(
  listener: Listener,
  { domains }: AcmeSettings,
  probes: Probes,
): Promise<Finding[]> {
  const local = probes.localAddresses()
  return await Promise.all(
    domains.map(async (name) => judgeName(name, await probes.addressesOf(name), listener, local)),
  )
}

async function examineAuthority(settings: AcmeSettings, probes: Probes): Promise<Finding[]> {
  let directory: CaDirectory
  try {
    directory = await probes.caDirectory(settings)
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    return [judgeOf('ca', settings.directoryUrl).fail(error.message, error.hint ?? 'see tls.acme_directory')]
  }
  const identities = caaIdentitiesOf(directory)
  const caa = settings.domains.map(async (name) => await examineCaa(name, identities, settings, probes))
  return [
    judgeCa(settings, directory),
    judgeClock(settings, directory, probes.nowMs()),
    ...(await Promise.all(caa)),
  ]
}

async function examineCaa(
  name: string,
  identities: readonly string[],
  { challenge }: AcmeSettings,
  probes: Probes,
): Promise<Finding> {
  let at = name
  for (at of climb(name)) {
    const records = await probes.caaOf(at)
    if ('fault' in records || records.found.length > 0) {
      return judgeCaa({ name, records, at, identities, challenge })
    }
  }
  return judgeCaa({ name, records: { found: [] }, at, identities, challenge })
}

async function examineStorage(settings: AcmeSettings, probes: Probes): Promise<Finding[]> {
  const { cacheDir } = settings
  const nowMs = probes.nowMs()
  const state = await probes.directory(cacheDir)
  const directory = judgeDirectory('cache', cacheDir, state)
  if (directory.verdict === 'fail') return [directory]
  const cached = await probes.cachedCertificate(cacheDir)
  const isUsable = isUsableCache(settings, cached, nowMs)
  const memory = judgeMemory(settings, await probes.failure(cacheDir), isUsable, nowMs)
  return [directory, memory, judgeCached(settings, cached, nowMs)]
}

async function examineContact(settings: AcmeSettings, probes: Probes): Promise<Finding> {
  const domain = contactDomain(settings)
  return judgeContact(settings, domain !== undefined && (await probes.takesMail(domain)))
}
