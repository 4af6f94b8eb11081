// The accounts by which orders are signed, as the CA knows them. Where they are kept is the caller's.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'

export interface Account {
  readonly directoryUrl: string
  /** PKCS#8 PEM. */
  readonly keyPem: string
  /** Unset until the CA has confirmed the account. */
  readonly url: string | undefined
  readonly contact: string | undefined
  /** Key identifier of the external account it is bound to; null: none; undefined: not written down. */
  readonly eabKid?: string | null | undefined
}

/** Which account an order needs. */
export interface AccountId {
  readonly directoryUrl: string
  readonly contact: string
  readonly eabKid: string | undefined
}

/** The accounts of one listener. The caller holds its lock. */
export interface ListenerAccounts {
  /** The account at `directoryUrl`; undefined if there is none. Throws CACHE. */
  load(directoryUrl: string): Promise<Account | undefined>
  /** On the disk when it resolves. Throws CACHE. */
  save(account: Account): Promise<void>
}

/** The accounts of the machine at one CA, with one external account or none. */
export interface MachineAccounts {
  /** Undefined if there is none. Throws CACHE. */
  load(id: AccountId): Promise<Account | undefined>
  /** Only within `locked`. Throws CACHE. */
  save(account: Account, contact: string): Promise<void>
  /** Removes the entry of a contact that the account no longer has. Only within `locked`. */
  remove(contact: string): Promise<void>
  /** Runs `work` while no other process changes these accounts; once more if the lock is lost meanwhile. */
  locked(work: () => Promise<void>, options: LockedOptions): Promise<void>
}

export interface LockedOptions {
  readonly signal: AbortSignal
  /** Called once, if another process has to be waited for. */
  readonly onWaiting: (holder: string) => void
}

export function accountIdOf({ directoryUrl, contact, eab }: AcmeSettings): AccountId {
  return { directoryUrl, contact, eabKid: eab?.kid }
}
