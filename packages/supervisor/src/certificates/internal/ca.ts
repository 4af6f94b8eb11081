// The local CA under state_dir: a root made on first use, ten years, for development and tests.
// Every supervisor that shares the directory signs with the same root.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { cacheError, replaceFile } from '../storage/atomic-file.ts'
import type { CertificateHost } from '../services.ts'
import type { DirectoryLock } from '../storage/lock.ts'
import { lockDirectory } from '../storage/lock.ts'
import type { OnQuarantined } from '../storage/quarantine.ts'
import type { Pair } from '../crypto/signing.ts'
import type { StoredCertificate } from '../certificate.ts'
import { CertificateStore } from '../storage/generations.ts'

/** Where the root's certificate lies, for clients that are to trust it. */
export function internalCaPath(stateDir: string): string {
  return join(internalCaDirectory(stateDir), 'root.pem')
}

/** Everything of the internal CA: the root, and each listener's leaf. */
export function internalCaDirectory(stateDir: string): string {
  return join(stateDir, 'internal-ca')
}

export interface InternalCaRequest {
  readonly stateDir: string
  readonly host: Pick<CertificateHost, 'clock' | 'jobs'>
  readonly signal: AbortSignal
  readonly onQuarantined: OnQuarantined
}

/** A root that expires sooner is replaced: its leaves live seven days. */
const LEAST_LIFETIME_LEFT_MS = 30 * 24 * 60 * 60 * 1000

/** The root, made if there is none that can be used. Throws CACHE. */
export async function loadAuthority(request: InternalCaRequest): Promise<StoredCertificate> {
  const { stateDir, signal } = request
  const store = new CertificateStore(join(internalCaDirectory(stateDir), 'root'))
  const found = await readAuthority(store, request)
  if (found !== undefined && (await isExported(found, stateDir))) return found

  await store.prepare()
  const lock = await lockDirectory(store.directory, { signal, onWaiting: () => {} })
  try {
    // Another supervisor may have made it while we waited.
    const authority = (await readAuthority(store, request)) ?? (await makeAuthority(store, lock, request))
    await replaceFile(internalCaPath(stateDir), authority.certPem).catch((error: unknown) => {
      throw cacheError(internalCaDirectory(stateDir), error)
    })
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
  store: CertificateStore,
  lock: DirectoryLock,
  { host, signal }: InternalCaRequest,
): Promise<StoredCertificate> {
  const pair = await host.jobs.run('createAuthority', { nowMs: host.clock.nowMs() }, signal)
  const authority = await inspectOwn(pair, 'self', { host, signal })
  await store.save(authority, async () => await lock.assertHeld())
  return authority
}

async function readAuthority(
  store: CertificateStore,
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

async function isExported(authority: StoredCertificate, stateDir: string): Promise<boolean> {
  const exported = await readFile(internalCaPath(stateDir), 'utf8').catch(() => '')
  return exported === authority.certPem
}
