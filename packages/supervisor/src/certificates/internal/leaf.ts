// One leaf of the internal CA: taken from state_dir while it will do, else issued and saved there. When it
// is due is decided here; manager.ts makes the attempts and publishes new leaves.
import type { CertificateStorage } from '../storage/storage.ts'
import type { CertificateServices } from '../services.ts'
import type { InternalCaRequest } from './ca.ts'
import { issueLeaf } from './ca.ts'
import { fieldsOf } from '../certificate.ts'
import { jitterOf, renewAtMs } from '../renewal/schedule.ts'
import type { StoredCertificate } from '../certificate.ts'

export interface InternalLeafOptions {
  readonly listenerId: string
  readonly hosts: readonly string[]
  /** Its own among the leaves of the state directory. */
  readonly directoryName: string
  readonly host: CertificateServices
  readonly ca: InternalCaRequest
}

export class InternalLeaf {
  readonly #options: InternalLeafOptions
  readonly #storage: CertificateStorage

  constructor(options: InternalLeafOptions) {
    this.#options = options
    this.#storage = options.ca.storage.within(`leaves/${options.directoryName}`)
  }

  /** Takes the leaf that is cached, unless it is the one to be replaced, or issues and saves one. Throws CACHE. */
  async obtain(authority: StoredCertificate, replacedSerial?: string): Promise<StoredCertificate> {
    const { listenerId, host } = this.#options
    let leaf = await this.#readLeaf(authority, replacedSerial)
    if (leaf !== undefined) {
      host.log.info('CERT_LOADED', fieldsOf(listenerId, leaf))
      return leaf
    }
    leaf = await this.#issue(authority, replacedSerial)
    host.counts.add(listenerId, 'issued')
    host.log.info('CERT_ISSUED', fieldsOf(listenerId, leaf))
    return leaf
  }

  async #issue(authority: StoredCertificate, replacedSerial: string | undefined): Promise<StoredCertificate> {
    const { listenerId, hosts, host, ca } = this.#options
    await this.#storage.certificates.prepare()
    const lock = await this.#storage.lock({
      signal: ca.signal,
      onWaiting: (holder) => {
        host.progress({ listenerId, step: 'waiting', names: hosts, detail: `for ${holder}` })
      },
    })
    try {
      const theirs = await this.#readLeaf(authority, replacedSerial)
      if (theirs !== undefined) return theirs
      const leaf = await issueLeaf(authority, hosts, ca)
      await this.#storage.certificates.save(leaf, lock)
      return leaf
    } finally {
      await lock.release()
    }
  }

  /** The cached leaf, if it is this root's, has exactly our hosts, and is not due to be renewed. */
  async #readLeaf(
    authority: StoredCertificate,
    replacedSerial: string | undefined,
  ): Promise<StoredCertificate | undefined> {
    const { hosts, host, ca } = this.#options
    const { certificate, quarantined } = await this.#storage.certificates.load(
      async (pair) => await host.jobs.run('inspectPair', pair, ca.signal),
    )
    quarantined.forEach(ca.onQuarantined)
    if (certificate === undefined || certificate.origin !== authority.facts.serial) return undefined
    const { names, serial } = certificate.facts
    if (serial === replacedSerial) return undefined
    const isOurs = names.length === hosts.length && hosts.every((name) => names.includes(name))
    return isOurs && dueAtMs(certificate) > host.clock.nowMs() ? certificate : undefined
  }
}

/** When it is to be renewed. */
export function dueAtMs({ facts, obtainedMs }: StoredCertificate): number {
  return renewAtMs(facts, obtainedMs, jitterOf(facts.serial))
}
