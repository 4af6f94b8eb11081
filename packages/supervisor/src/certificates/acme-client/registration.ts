// The account by which one order is signed: found or registered, with the contact that is configured, and replaced
// once when the CA no longer takes it. The caller has the listener's cache directory locked; the machine's accounts
// are locked here, for no longer than a registration takes.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { Account, AccountId, ListenerAccounts, MachineAccounts } from './account.ts'
import { accountIdOf } from './account.ts'
import type { AcmeResponse } from './transport/response.ts'
import { AcmeError } from './transport/problem.ts'
import type { AcmeTransport, PostOptions } from './transport/transport.ts'
import type { CertificateJobs } from '../crypto/jobs.ts'

export interface RegistrationOptions {
  readonly settings: AcmeSettings
  /** The listener's own copy. */
  readonly accounts: ListenerAccounts
  /** The machine's; undefined: the listener has an account of its own. */
  readonly shared: MachineAccounts | undefined
  readonly jobs: CertificateJobs
  readonly signal: AbortSignal
  readonly progress: (detail: string) => void
  /** Asked directly before an account is created; throws to stop that. */
  readonly mayOrder: () => Promise<void>
}

interface Found {
  readonly account: Account
  /** No CA knows its key yet. */
  readonly isNew: boolean
}

export class AcmeRegistration {
  readonly #options: RegistrationOptions
  readonly #transport: AcmeTransport
  readonly #id: AccountId
  #account: (Account & { readonly url: string }) | undefined
  #isReplaced = false

  constructor(transport: AcmeTransport, options: RegistrationOptions) {
    this.#transport = transport
    this.#options = options
    this.#id = accountIdOf(options.settings)
  }

  get url(): string | undefined {
    return this.#account?.url
  }

  /** A request signed by the account. Throws AcmeError. */
  async post(
    doing: string,
    url: string,
    payload: object | null,
    options?: PostOptions,
  ): Promise<AcmeResponse> {
    const account = this.#account
    if (account === undefined) throw this.#transport.error('there is no account yet')
    return await this.#transport.post(doing, url, payload, { accountUrl: account.url }, options)
  }

  /** Afterwards the CA knows the account, and its contact. Throws AcmeError, or ProxyError CACHE. */
  async ensure(): Promise<void> {
    const known = await this.#known()
    if (known === undefined) return await this.#locked(async () => await this.#register(await this.#find()))
    await this.#use(known)
    await this.#correctContact(known)
  }

  /** Uses the account of this URL; false if it is not ours any more. Throws CACHE. */
  async find(url: string): Promise<boolean> {
    const known = [await this.#loadOwn(), await this.#loadShared()].find((account) => account?.url === url)
    if (known === undefined || !isUsable(known)) return false
    await this.#use(known)
    return true
  }

  /** Tells the CA of a changed contact, if there is an account that has another one. Throws AcmeError, or CACHE. */
  async syncContact(): Promise<void> {
    const known = await this.#known()
    if (known === undefined || known.contact === this.#id.contact) return
    await this.#use(known)
    await this.#changeContact(known)
  }

  /** True if there is another account now, because `error` means that the CA no longer takes the one before. */
  async replaceIfGone(error: unknown): Promise<boolean> {
    const gone = this.#account
    if (gone === undefined || this.#isReplaced) return false
    const fate = await this.#fateOf(gone, error)
    if (fate === undefined) return false
    this.#isReplaced = true
    this.#options.progress(`the CA no longer takes the account: ${messageOf(error)}`)
    await this.#locked(async () => {
      const shared = await this.#loadShared()
      // Another listener has met with the same.
      if (shared !== undefined && isUsable(shared) && shared.url !== gone.url) {
        return await this.#adopt(shared)
      }
      // A key that is merely unknown is good for a new account; one of a deactivated account never again (RFC 8555 7.3.6).
      if (fate === 'unknown') {
        await this.#register({ account: { ...gone, url: undefined }, isNew: false })
      } else await this.#register(await this.#createKey())
    })
    return true
  }

  /** A registered account, if there is one. */
  async #known(): Promise<(Account & { readonly url: string }) | undefined> {
    const { contact } = this.#id
    const own = await this.#loadOwn()
    if (own !== undefined && isUsable(own) && own.contact === contact) {
      await this.#offer(own)
      return own
    }
    const shared = await this.#loadShared()
    if (shared !== undefined && isUsable(shared)) return shared
    return own !== undefined && isUsable(own) ? own : undefined
  }

  /** The account that another process has registered, or a key to register. The caller holds the lock. */
  async #find(): Promise<Found> {
    const shared = await this.#loadShared()
    if (shared !== undefined) return { account: shared, isNew: false }
    const own = await this.#loadOwn()
    return own === undefined ? await this.#createKey() : { account: own, isNew: false }
  }

  async #register({ account, isNew }: Found): Promise<void> {
    if (isUsable(account)) return await this.#adopt(account)
    this.#transport.useKey(account.keyPem)
    const url = await this.#lookUpOrCreate(isNew)
    await this.#adopt({ ...account, url, contact: this.#id.contact, eabKid: this.#id.eabKid ?? null })
  }

  async #lookUpOrCreate(isNew: boolean): Promise<string> {
    const { mayOrder } = this.#options
    const newAccount = await this.#transport.urlOf('newAccount')
    const bindExternalAccount = this.#id.eabKid !== undefined
    // Binding codes may be single-use (RFC 8555 7.3.4): an account whose URL got lost is looked up, not made again.
    let reply = isNew ? undefined : await this.#lookUp(newAccount, bindExternalAccount)
    if (reply === undefined) {
      const payload = { termsOfServiceAgreed: true, contact: [this.#id.contact] }
      const signer = { bindExternalAccount }
      reply = await this.#transport.post('cannot create an account', newAccount, payload, signer, {
        before: mayOrder,
      })
    }
    if (reply.location === undefined) throw this.#transport.error('the CA gives the account no URL')
    return reply.location
  }

  async #lookUp(newAccount: string, bindExternalAccount: boolean): Promise<AcmeResponse | undefined> {
    try {
      return await this.#askForExisting(newAccount)
    } catch (error) {
      // Some CAs want the binding with every newAccount, this one included.
      if (isUnknownAccount(error) || (bindExternalAccount && wantsBinding(error))) return undefined
      throw error
    }
  }

  async #askForExisting(newAccount: string): Promise<AcmeResponse> {
    const signer = { bindExternalAccount: false }
    const payload = { onlyReturnExisting: true }
    return await this.#transport.post('cannot look up the account', newAccount, payload, signer)
  }

  /** Uses a registered account, and keeps it for the listener and for the machine. */
  async #adopt(account: Account & { readonly url: string }): Promise<void> {
    await this.#options.shared?.save(account, this.#id.contact)
    await this.#use(account)
  }

  async #use(account: Account & { readonly url: string }): Promise<void> {
    this.#transport.useKey(account.keyPem)
    this.#account = account
    const own = await this.#loadOwn()
    const isSame =
      own?.keyPem === account.keyPem && own.url === account.url && own.contact === account.contact
    if (!isSame) await this.#options.accounts.save(account)
  }

  /**
   * Reads from `error` that the CA does not know the account's URL or accepts no request of it any more; undefined if
   * nothing. Other rejections of any status are looked into.
   */
  async #fateOf({ url }: Account, error: unknown): Promise<'unknown' | 'closed' | undefined> {
    if (isUnknownAccount(error)) return 'unknown'
    if (!(error instanceof AcmeError) || !mayMeanGone(error)) return undefined
    try {
      const { location } = await this.#askForExisting(await this.#transport.urlOf('newAccount'))
      // The CA has the key under another URL.
      return location === undefined || location === url ? undefined : 'unknown'
    } catch (cause) {
      if (isUnknownAccount(cause)) return 'closed'
      return cause instanceof AcmeError && isUnauthorized(cause) ? 'closed' : undefined
    }
  }

  async #correctContact(account: Account & { readonly url: string }): Promise<void> {
    if (account.contact === this.#id.contact) return
    try {
      await this.#changeContact(account)
    } catch (error) {
      if (!(error instanceof AcmeError) || (await this.replaceIfGone(error))) return
      // A contact is no reason to let a certificate expire: the next order tries to change it again.
      this.#options.progress(error.message)
    }
  }

  async #changeContact(account: Account & { readonly url: string }): Promise<void> {
    const { contact } = this.#id
    await this.post('cannot change the contact', account.url, { contact: [contact] })
    await this.#locked(async () => {
      await this.#adopt({ ...account, contact })
      if (account.contact !== undefined) await this.#options.shared?.remove(account.contact)
    })
  }

  /** Creates a key and saves it before the CA sees it: losing it later would lose the account. */
  async #createKey(): Promise<Found> {
    const { jobs, signal, accounts, shared } = this.#options
    const keyPem = await jobs.run('generateKey', 'ecdsa-p256', signal)
    const { directoryUrl, contact, eabKid = null } = this.#id
    const account = { directoryUrl, keyPem, url: undefined, contact: undefined, eabKid }
    await (shared === undefined ? accounts.save(account) : shared.save(account, contact))
    return { account, isNew: true }
  }

  /** The listener's own account becomes the machine's, if there is none. It serves its listener even where that fails. */
  async #offer(own: Account): Promise<void> {
    const { shared, progress } = this.#options
    if (shared === undefined) return
    try {
      if ((await this.#loadShared()) !== undefined) return
      await this.#locked(async () => {
        if ((await this.#loadShared()) === undefined) await shared.save(own, this.#id.contact)
      })
    } catch (error) {
      this.#options.signal.throwIfAborted()
      progress(messageOf(error))
    }
  }

  async #loadOwn(): Promise<Account | undefined> {
    const own = await this.#options.accounts.load(this.#id.directoryUrl)
    if (own?.eabKid === undefined) return own
    return own.eabKid === (this.#id.eabKid ?? null) ? own : undefined
  }

  async #loadShared(): Promise<Account | undefined> {
    return await this.#options.shared?.load(this.#id)
  }

  /** One of N listeners and N supervisors registers; the others find its account. */
  async #locked(work: () => Promise<void>): Promise<void> {
    const { shared, signal, progress } = this.#options
    if (shared === undefined) return await work()
    await shared.locked(work, { signal, onWaiting: (holder) => progress(`waits for ${holder}`) })
  }
}

function isUsable(account: Account): account is Account & { readonly url: string } {
  return account.url !== undefined
}

function wantsBinding(error: unknown): boolean {
  return error instanceof AcmeError && error.problem?.type === 'externalAccountRequired'
}

/** The CA has forgotten the account, or never knew it. */
function isUnknownAccount(error: unknown): boolean {
  return error instanceof AcmeError && error.problem?.type === 'accountDoesNotExist'
}

const UNAUTHORIZED = 401

function isUnauthorized({ responseStatus, problem }: AcmeError): boolean {
  return responseStatus === UNAUTHORIZED || problem?.type === 'unauthorized'
}

/** For a deactivated account Boulder sends 403 unauthorized and step-ca 401; step-ca sends 500 for an unknown one. */
function mayMeanGone(error: AcmeError): boolean {
  return isUnauthorized(error) || error.responseStatus === 500 || error.responseStatus === 404
}
