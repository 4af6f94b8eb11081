// Certificates that somebody else looks after: read from files at start, never written, never renewed. A pair that
// cannot be read by then is tried again later; the others are served meanwhile.
import { ReadError, readSmallFile } from '../../os/read-file.ts'
import type { ManualSettings } from '@reverse-proxy/shared/config/config'
import { codeOf, messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { withoutByteOrderMark } from '../crypto/pem.ts'
import { ExpiryWatch } from '../renewal/expiry-log.ts'
import type { CertificateServices } from '../services.ts'
import type { CertificateFacts } from '../crypto/inspect.ts'
import type { CertificateManager } from '../manager.ts'
import { STOPPING } from '../manager.ts'
import { fieldsOf, toPushed } from '../certificate.ts'
import { RenewalLoop } from '../renewal/loop.ts'
import { Retries } from '../renewal/retries.ts'
import type { ManagerStatus } from '../status.ts'

interface ManualCertificate {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
}

interface ReadPairs {
  readonly certificates: readonly ManualCertificate[]
  /** Why the first of the others cannot be used. */
  readonly error: unknown
}

export class ManualManager implements CertificateManager {
  readonly listenerId: string
  readonly loop: RenewalLoop
  readonly #pairs: ManualSettings['pairs']
  readonly #host: CertificateServices
  readonly #expiry: ExpiryWatch
  readonly #retries: Retries
  readonly #closing = new AbortController()

  #certificates: readonly ManualCertificate[] = []
  /** Why not every pair is served. */
  #loadError: unknown
  #work: Promise<void> = Promise.resolve()

  constructor(listenerId: string, { pairs }: ManualSettings, host: CertificateServices) {
    this.listenerId = listenerId
    this.#pairs = pairs
    this.#host = host
    this.#expiry = new ExpiryWatch(listenerId, host)
    this.#retries = new Retries(listenerId, host)
    const nextMs = (): number => this.#nextLookMs()
    const turn = async (demanded: boolean): Promise<boolean> => await this.#turn(demanded)
    const { clock, log } = host
    const { signal } = this.#closing
    this.loop = new RenewalLoop({ listenerId, clock, log, nextMs, turn }, signal)
  }

  /** Throws CERTIFICATE for the first pair that cannot be used. */
  async load(): Promise<void> {
    const { certificates, error } = await this.#readAll()
    this.#certificates = certificates
    this.#loadError = error
    if (error !== undefined) throw error
  }

  current(): readonly PushedCertificate[] {
    return this.#certificates.map(toPushed)
  }

  needsOrder(): boolean {
    return this.#certificates.length === 0
  }

  obstacle(): unknown {
    return this.#loadError
  }

  isComplete(): boolean {
    return this.#loadError === undefined
  }

  status(): ManagerStatus {
    return {
      listenerId: this.listenerId,
      mode: 'manual',
      certificates: this.#certificates.map(({ facts }) => facts),
      missing: [],
      nextAttemptMs: this.#retries.last?.nextAttemptMs,
      unsaved: undefined,
      renewalWindow: undefined,
      failure: this.#retries.last,
    }
  }

  start(): void {
    if (this.#loadError !== undefined) this.#noteFailed(this.#loadError)
    this.#work = this.loop.run()
  }

  /** Reads the files again; if they cannot be used, what is served stays. */
  async renew(): Promise<void> {
    await this.loop.demand()
  }

  async close(reason = STOPPING): Promise<void> {
    this.#closing.abort(new ProxyError('CERTIFICATE', reason))
    await this.#work
  }

  async #readAll(): Promise<ReadPairs> {
    const outcomes = await Promise.allSettled(this.#pairs.map(async (pair) => await this.#read(pair)))
    const certificates = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failed = outcomes.find((one) => one.status === 'rejected')
    for (const certificate of certificates) {
      this.#host.log.info('CERT_LOADED', { ...fieldsOf(this.listenerId, certificate), source: 'file' })
      this.#expiry.look(certificate.facts)
    }
    return { certificates, error: failed?.reason }
  }

  async #read({ certPath, keyPath }: ManualSettings['pairs'][number]): Promise<ManualCertificate> {
    const [certPem, keyPem] = await Promise.all([readPem(certPath), readPem(keyPath)])
    const inspection = await this.#host.jobs.run('inspectPair', { certPem, keyPem }, this.#closing.signal)
    if (!inspection.ok) {
      throw new ProxyError('CERTIFICATE', `${certPath} with ${keyPath}: ${inspection.reason}`, {
        hint: 'cert_path is the certificate followed by its chain, key_path its private key, both PEM',
      })
    }
    const { facts } = inspection
    if (facts.names.length === 0) {
      throw new ProxyError('CERTIFICATE', `${certPath} has no subjectAltName`, {
        hint: 'clients ignore the common name: have it issued again with its names as subjectAltName',
      })
    }
    return { certPem: inspection.certPem, keyPem, facts }
  }

  #nextLookMs(): number {
    return Math.min(
      this.#retries.dueMs,
      ...this.#certificates.map(({ facts }) => this.#expiry.nextLookMs(facts)),
    )
  }

  async #turn(demanded: boolean): Promise<boolean> {
    for (const { facts } of this.#certificates) this.#expiry.look(facts)
    if (!demanded && this.#host.clock.nowMs() < this.#retries.dueMs) return false
    const { certificates, error } = await this.#readAll()
    this.#closing.signal.throwIfAborted()
    if (error === undefined || certificates.length > this.#certificates.length) {
      await this.#host.publish(this.listenerId, certificates.map(toPushed))
      this.#certificates = certificates
      this.#loadError = error
    }
    if (error === undefined) {
      this.#retries.noteSuccess()
      return true
    }
    // A failed demand changes nothing; only pairs that have been missing since the start are tried again.
    if (this.#loadError !== undefined) this.#noteFailed(error)
    throw error
  }

  #noteFailed(error: unknown): void {
    this.#retries.noteFailed(error, this.#certificates[0]?.facts)
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return withoutByteOrderMark((await readSmallFile(path)).toString('utf8'))
  } catch (error) {
    const code = error instanceof ReadError ? codeOf(error.cause) : codeOf(error)
    throw new ProxyError('CERTIFICATE', `cannot read ${path}: ${code ?? messageOf(error)}`, {
      cause: error,
      hint: 'it must be a regular file that the account the supervisor runs as can read',
    })
  }
}
