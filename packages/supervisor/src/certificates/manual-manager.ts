// Certificates that somebody else looks after: read from files at start, never written, never renewed.
import { readFile } from 'node:fs/promises'
import type { ManualSettings } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import { codeOf } from './durable.ts'
import { ExpiryWatch } from './expiry-watch.ts'
import type { CertificateHost } from './host.ts'
import type { CertificateFacts } from './inspect.ts'
import type { CertificateManager } from './manager.ts'
import { fieldsOf, toPushed } from './pushed.ts'
import { sleepUntil } from './sleep-until.ts'

interface ManualCertificate {
  readonly certPem: string
  readonly keyPem: string
  readonly facts: CertificateFacts
}

export class ManualManager implements CertificateManager {
  readonly listenerId: string
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
  }

  /** Throws CERTIFICATE for the first pair that cannot be used. */
  async load(): Promise<void> {
    this.#certificates = await Promise.all(this.#pairs.map(async (pair) => await this.#read(pair)))
    for (const certificate of this.#certificates) {
      this.#host.log.info('CERT_LOADED', { ...fieldsOf(this.listenerId, certificate), source: 'file' })
      this.#expiry.look(certificate.facts)
    }
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

  async acquire(): Promise<void> {}

  start(): void {
    this.#work = this.#watchExpiry()
  }

  async close(): Promise<void> {
    this.#closing.abort(new ProxyError('CERTIFICATE', 'the supervisor is stopping'))
    await this.#work
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

  /** Until closed, or until every certificate has expired and that has been said. */
  async #watchExpiry(): Promise<void> {
    const { signal } = this.#closing
    for (;;) {
      const looksMs = this.#certificates.map(({ facts }) => this.#expiry.nextLookMs(facts))
      const nextMs = Math.min(...looksMs)
      if (nextMs === Infinity) return
      try {
        await sleepUntil(nextMs, this.#host.clock, signal)
      } catch {
        return
      }
      for (const { facts } of this.#certificates) this.#expiry.look(facts)
    }
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
