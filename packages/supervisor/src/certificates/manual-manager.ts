// Certificates that somebody else looks after: read from files at start, never written, never renewed.
import { readFile } from 'node:fs/promises'
import type { ManualSettings } from '@reverse-proxy/shared/config/config'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { ExpiryWatch } from './expiry-watch.ts'
import type { CertificateHost } from './host.ts'
import type { CertificateFacts } from './inspect.ts'
import type { CertificateManager } from './manager.ts'
import { fieldsOf, toPushed } from './pushed.ts'
import { RenewalLoop } from './renewal-loop.ts'
import type { ManagerStatus } from './status.ts'

interface ManualCertificate {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
}

export class ManualManager implements CertificateManager {
  readonly listenerId: string
  readonly loop: RenewalLoop
  readonly #pairs: ManualSettings['pairs']
  readonly #host: CertificateHost
  readonly #expiry: ExpiryWatch
  readonly #closing = new AbortController()

  #certificates: readonly ManualCertificate[] = []
  #work: Promise<void> = Promise.resolve()

  constructor(listenerId: string, { pairs }: ManualSettings, host: CertificateHost) {
    this.listenerId = listenerId
    this.#pairs = pairs
    this.#host = host
    this.#expiry = new ExpiryWatch(listenerId, host)
    const nextMs = (): number => this.#nextLookMs()
    const turn = async (demanded: boolean): Promise<boolean> => await this.#turn(demanded)
    const { clock, log } = host
    const { signal } = this.#closing
    this.loop = new RenewalLoop({ listenerId, clock, log, nextMs, turn }, signal)
  }

  /** Throws CERTIFICATE for the first pair that cannot be used. */
  async load(): Promise<void> {
    this.#certificates = await this.#readAll()
  }

  current(): readonly PushedCertificate[] {
    return this.#certificates.map(toPushed)
  }

  needsOrder(): boolean {
    return false
  }

  isComplete(): boolean {
    return true
  }

  status(): ManagerStatus {
    return {
      listenerId: this.listenerId,
      mode: 'manual',
      certificates: this.#certificates.map(({ facts }) => facts),
      missing: [],
      nextAttemptMs: undefined,
      unsaved: undefined,
      renewalWindow: undefined,
      failure: undefined,
    }
  }

  async acquire(): Promise<void> {}

  start(): void {
    this.#work = this.loop.run()
  }

  /** Reads the files again; if they cannot be used, what is served stays. */
  async renew(): Promise<void> {
    await this.loop.demand()
  }

  async close(): Promise<void> {
    this.#closing.abort(new ProxyError('CERTIFICATE', 'the supervisor is stopping'))
    await this.#work
  }

  async #readAll(): Promise<readonly ManualCertificate[]> {
    const certificates = await Promise.all(this.#pairs.map(async (pair) => await this.#read(pair)))
    for (const certificate of certificates) {
      this.#host.log.info('CERT_LOADED', { ...fieldsOf(this.listenerId, certificate), source: 'file' })
      this.#expiry.look(certificate.facts)
    }
    return certificates
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
    return Math.min(...this.#certificates.map(({ facts }) => this.#expiry.nextLookMs(facts)))
  }

  async #turn(demanded: boolean): Promise<boolean> {
    for (const { facts } of this.#certificates) this.#expiry.look(facts)
    if (!demanded) return false
    const certificates = await this.#readAll()
    await this.#host.publish(this.listenerId, certificates.map(toPushed))
    this.#certificates = certificates
    return true
  }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new ProxyError('CERTIFICATE', `cannot read ${path}: ${codeOf(error) ?? String(error)}`, {
      cause: error,
      hint: 'the file must exist and be readable for the account the supervisor runs as',
    })
  }
}
