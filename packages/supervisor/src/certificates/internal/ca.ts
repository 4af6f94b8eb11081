// The local CA under state_dir: a root made on first use, ten years, for development and tests.
// Every supervisor that shares the directory signs with the same root.
import { join } from 'node:path'
import type { CertificateStorage, HeldLock, OnQuarantined, StoredCertificates } from '../storage/storage.ts'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { CertificateServices } from '../services.ts'
import type { Pair } from '../crypto/signing.ts'
import type { StoredCertificate } from '../certificate.ts'

const PREFIX = 'internal-ca'
const ROOT_PEM = 'root.pem'

/** Where the root's certificate lies, for clients that are to trust it. */
export function internalCaPath(stateDir: string): string {
  return join(internalCaDirectory(stateDir), ROOT_PEM)
}

/** Everything of the internal CA: the root, and each listener's leaf. */
export function internalCaDirectory(stateDir: string): string {
  return join(stateDir, PREFIX)
}

/** The storage of the internal CA within that of the machine. */
export function internalCaStorage(state: CertificateStorage): CertificateStorage {
  return state.within(PREFIX)
}

export interface InternalCaRequest {
  readonly storage: CertificateStorage
  readonly host: Pick<CertificateServices, 'clock' | 'jobs'>
  readonly signal: AbortSignal
  readonly onQuarantined: OnQuarantined
}

/** A root that expires sooner is replaced: its leaves live seven days. */
const LEAST_LIFETIME_LEFT_MS = 30 * 24 * 60 * 60 * 1000

/** The root, made if there is none that can be used. Throws CACHE. */
export async function loadAuthority(request: InternalCaRequest): Promise<StoredCertificate> {
  const { storage, signal } = request
  const root = storage.within('root')
  const found = await readAuthority(root.certificates, request)
  if (found !== undefined && (await isExported(found, storage))) return found

  await root.certificates.prepare()
  const lock = await root.lock({ signal, onWaiting: () => {} })
  try {
    // Another supervisor may have made it while we waited.
    const authority =
      (await readAuthority(root.certificates, request)) ??
      (await makeAuthority(root.certificates, lock, request))
    await storage.store(ROOT_PEM, authority.certPem)
    return authority
  } finally {
    await lock.release()
  }
}

/** A leaf for `names`, signed by the root; saved by the caller. */
export async function issueLeaf(
  authority: StoredCertificate,
  names: readonly string[],
  { host, signal }: InternalCaRequest,
): Promise<StoredCertificate> {
  const pair = await host.jobs.run('createLeaf', { authority, names, nowMs: host.clock.nowMs() }, signal)
  return await inspectOwn(pair, authority.facts.serial, { host, signal })
}

async function makeAuthority(
  store: StoredCertificates,
  lock: HeldLock,
  { host, signal }: InternalCaRequest,
): Promise<StoredCertificate> {
  const pair = await host.jobs.run('createAuthority', { nowMs: host.clock.nowMs() }, signal)
  const authority = await inspectOwn(pair, 'self', { host, signal })
  await store.save(authority, lock)
  return authority
}

async function readAuthority(
  store: StoredCertificates,
  { host, signal, onQuarantined }: InternalCaRequest,
): Promise<StoredCertificate | undefined> {
  const { certificate, quarantined } = await store.load(
    async (pair) => await host.jobs.run('inspectPair', pair, signal),
  )
  quarantined.forEach(onQuarantined)
  if (certificate === undefined) return undefined
  return certificate.facts.notAfterMs - host.clock.nowMs() < LEAST_LIFETIME_LEFT_MS ? undefined : certificate
}

async function inspectOwn(
  pair: Pair,
  origin: string,
  { host, signal }: Pick<InternalCaRequest, 'host' | 'signal'>,
): Promise<StoredCertificate> {
  const inspection = await host.jobs.run('inspectPair', pair, signal)
  if (!inspection.ok)
    throw new ProxyError('CERTIFICATE', `the internal CA made a bad certificate: ${inspection.reason}`)
  return {
    certPem: inspection.certPem,
    keyPem: pair.keyPem,
    facts: inspection.facts,
    origin,
    obtainedMs: host.clock.nowMs(),
  }
}

async function isExported(authority: StoredCertificate, storage: CertificateStorage): Promise<boolean> {
  const exported = await storage.load(ROOT_PEM).catch(() => undefined)
  return exported === authority.certPem
}
