// One order, from the account to a certificate that has been checked: RFC 8555 7. Saves nothing but the
// account, installs nothing, retries nothing: whoever calls decides what a failure means.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import type { Account, AccountStore } from './acme-account.ts'
import { isUnknownAccount, register } from './acme-account.ts'
import { downloadChain } from './acme-chain.ts'
import type { AcmeLimits } from './acme-limits.ts'
import { poll, readPatiently, stateOf } from './acme-poll.ts'
import { AcmeError, describeProblem, parseProblem } from './acme-problem.ts'
import { mayBlameReplaces, mayReplace } from './acme-replaces.ts'
import { readCaRoots, readExternalAccount } from './acme-files.ts'
import type { AcmeReply } from './acme-answer.ts'
import { AcmeTransport } from './acme-transport.ts'
import { proveNames } from './acme-validation.ts'
import type { PendingAuthorization } from './challenges.ts'
import { readAuthorization } from './challenges.ts'
import type { ListeningClock } from './certificate-clock.ts'
import type { CertificateHost } from './host.ts'
import type { OrderStep } from './progress.ts'
import type { StoredCertificate } from './store.ts'

export interface OrderRequest {
  readonly settings: AcmeSettings
  /** Lower case. */
  readonly names: readonly string[]
  /** The certificate that is in service, whoever issued it. */
  readonly predecessor: StoredCertificate | undefined
  readonly accounts: AccountStore
  readonly host: Pick<CertificateHost, 'jobs'> & { readonly clock: ListeningClock }
  readonly limits: AcmeLimits
  readonly signal: AbortSignal
  /** Replaces what every worker can prove right now; resolves when each has acknowledged. */
  readonly arm: (challenges: readonly ArmedChallenge[]) => Promise<void>
  /** Leaves nothing armed; never rejects. */
  readonly disarm: () => Promise<void>
  readonly progress: (step: OrderStep, detail?: string) => void
  /** Asked directly before each request that counts at the CA; throws when the order is no longer ours to place. */
  readonly mayOrder: () => Promise<void>
}

/** Throws AcmeError, or ProxyError CACHE, CERTIFICATE or CONFIG. */
export async function placeOrder(request: OrderRequest): Promise<StoredCertificate> {
  const { settings, accounts, host, limits } = request
  const overdue = AbortSignal.timeout(limits.orderMs)
  const signal = AbortSignal.any([request.signal, overdue])
  const known = await accounts.load(settings.directoryUrl)
  const account = known ?? (await createAccountKey(request))
  const transport = new AcmeTransport({
    directoryUrl: settings.directoryUrl,
    accountKeyPem: account.keyPem,
    externalAccount: await readExternalAccount(settings),
    caPem: await readCaRoots(settings),
    clock: host.clock,
    limits,
    signal,
  })
  try {
    const order = new Order({ ...request, signal }, transport, account)
    return await order.run()
  } catch (error) {
    if (error !== overdue.reason) throw error
    throw transport.error(`the CA has not finished the order within ${limits.orderMs / 1000} s`)
  } finally {
    transport.close()
  }
}

class Order {
  readonly #request: OrderRequest
  readonly #transport: AcmeTransport
  #account: Account

  constructor(request: OrderRequest, transport: AcmeTransport, account: Account) {
    this.#request = request
    this.#transport = transport
    this.#account = account
  }

  async run(): Promise<StoredCertificate> {
    const { settings, names, host, signal, progress } = this.#request
    progress('account')
    await this.#ensureAccount()

    progress('order')
    const order = await this.#open()
    const pending = await this.#readAuthorizations(order.resource)
    if (pending.length > 0) {
      const post = this.#post.bind(this)
      await proveNames(pending, { request: this.#request, transport: this.#transport, post })
    }

    const keyPem = await host.jobs.run('generateKey', settings.keyType, signal)
    const certificateUrl = await this.#finalize(order.url, order.resource['finalize'], keyPem)

    progress('downloading')
    const inspection = await downloadChain({
      url: certificateUrl,
      preferred: settings.preferredChain,
      fetch: async (url) =>
        await readPatiently(
          async () => await this.#post('cannot download the certificate', url, null),
          signal,
        ),
      inspect: async (certPem) =>
        await host.jobs.run(
          'inspectIssuedChain',
          { certPem, keyPem, names, nowMs: host.clock.nowMs() },
          signal,
        ),
    })
    if (!inspection.ok) {
      throw this.#transport.error(`the CA's certificate is not used: ${inspection.reason}`, {
        isIssued: true,
      })
    }
    const { certPem, facts } = inspection
    return {
      certPem,
      keyPem,
      facts,
      origin: settings.directoryUrl,
      accountUrl: this.#account.url,
      obtainedMs: host.clock.nowMs(),
    }
  }

  async #ensureAccount(): Promise<void> {
    const { settings, accounts, mayOrder, progress } = this.#request
    const { contact } = settings
    if (this.#account.url === undefined) {
      const bindExternalAccount = settings.eab !== undefined
      const registered = await register(this.#transport, this.#account, {
        contact,
        bindExternalAccount,
        mayOrder,
      })
      this.#account = registered
      await accounts.save(registered)
    } else if (this.#account.contact !== contact) {
      try {
        await this.#post('cannot change the contact', this.#account.url, { contact: [contact] })
      } catch (error) {
        if (!(error instanceof AcmeError)) throw error
        // A contact is no reason to let a certificate expire: the next order tries to change it again.
        if (!isUnknownAccount(error)) return progress('account', error.message)
      }
      this.#account = { ...this.#account, contact }
      await accounts.save(this.#account)
    }
  }

  async #open(): Promise<{ readonly url: string; readonly resource: Readonly<Record<string, unknown>> }> {
    const reply = await this.#place(await this.#transport.urlOf('newOrder'))
    const state = stateOf(reply.data)
    if (reply.location === undefined || state === undefined) {
      throw this.#transport.error('the CA sends an order that cannot be read')
    }
    return { url: reply.location, resource: state.resource }
  }

  /** Without `replaces` where the CA does not want it: RFC 9773 5. */
  async #place(url: string): Promise<AcmeReply> {
    const { names, mayOrder, progress } = this.#request
    const profile = await this.#profile()
    const identifiers = names.map((value) => ({ type: 'dns', value }))
    const order = { identifiers, ...(profile !== undefined && { profile }) }
    const replaces = await this.#replaces()
    const send = async (payload: object): Promise<AcmeReply> => {
      await mayOrder()
      return await this.#post('the order is refused', url, payload)
    }
    try {
      return await send({ ...order, ...(replaces !== undefined && { replaces }) })
    } catch (error) {
      if (isUnknownAccount(error)) {
        // The CA has lost the account: the key is good for a new one, which has nothing to replace.
        this.#account = { ...this.#account, url: undefined }
        await this.#ensureAccount()
      } else if (replaces !== undefined && mayBlameReplaces(error)) {
        progress('order', `once more, without replaces: ${messageOf(error)}`)
      } else {
        throw error
      }
      return await send(order)
    }
  }

  /** The name of the certificate in service, if the CA takes that and it is ours to replace. */
  async #replaces(): Promise<string | undefined> {
    const { predecessor, settings, names, host, signal } = this.#request
    const successor = { directoryUrl: settings.directoryUrl, accountUrl: this.#account.url, names }
    if (predecessor === undefined || !mayReplace(predecessor, successor)) return undefined
    if ((await this.#transport.optionalUrlOf('renewalInfo')) === undefined) return undefined
    return await host.jobs.run('certificateIdOf', predecessor.certPem, signal)
  }

  /** Throws where the CA does not offer the profile that is configured; nothing has been ordered then. */
  async #profile(): Promise<string | undefined> {
    const { profile } = this.#request.settings
    if (profile === undefined) return undefined
    const offered = await this.#transport.profiles()
    if (offered.includes(profile)) return profile
    throw new AcmeError(`the CA has no profile "${profile}"`, {
      // It has counted nothing: mending the setting is all there is to wait for.
      reachedCa: false,
      hint:
        offered.length === 0
          ? 'it offers no profiles: remove tls.acme_profile'
          : `set tls.acme_profile to one of its own: ${offered.join(', ').slice(0, 500)}`,
    })
  }

  async #readAuthorizations(order: Readonly<Record<string, unknown>>): Promise<PendingAuthorization[]> {
    const { names, settings } = this.#request
    const urls = Array.isArray(order['authorizations']) ? order['authorizations'] : []
    if (urls.length > names.length) {
      throw this.#transport.error(`the CA wants ${urls.length} proofs for ${names.length} names`)
    }
    const pending: PendingAuthorization[] = []
    for (const url of urls) {
      if (typeof url !== 'string') throw this.#transport.error('the CA sends an order that cannot be read')
      const { data } = await this.#post('cannot read an authorization', url, null)
      const authorization = readAuthorization(url, data, settings.challenge, this.#transport)
      if (authorization === undefined) continue
      if (!names.includes(authorization.name)) {
        throw this.#transport.error(`the CA wants ${authorization.name} proved, which was not ordered`)
      }
      pending.push(authorization)
    }
    // CAs shuffle them; what is said of them should not be.
    return pending.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name))
  }

  /** Sends the request for the key, and returns where the certificate can be fetched. */
  async #finalize(orderUrl: string, finalizeUrl: unknown, keyPem: string): Promise<string> {
    const { names, host, limits, signal, progress, mayOrder } = this.#request
    if (typeof finalizeUrl !== 'string')
      throw this.#transport.error('the CA sends an order that cannot be read')
    progress('finalizing')
    const look = async (): Promise<AcmeReply> => await this.#post('cannot read the order', orderUrl, null)
    const finalStates = { limitMs: limits.finalizationMs, signal, look }
    this.#assertNotInvalid(await poll({ ...finalStates, isFinal: (status) => status !== 'pending' }))

    const csr = await host.jobs.run('createCsr', { names, keyPem }, signal)
    await mayOrder()
    try {
      await this.#post('the request is refused', finalizeUrl, { csr })
    } catch (error) {
      // No answer: it may be signed all the same, and the order says so.
      const isUnclear = error instanceof AcmeError && error.answerStatus === undefined
      if (!isUnclear || stateOf((await readPatiently(look, signal)).data)?.status === 'ready') throw error
    }
    const order = this.#assertNotInvalid(await poll({ ...finalStates, isFinal: isFinished }))
    const certificateUrl = order['certificate']
    if (typeof certificateUrl !== 'string')
      throw this.#transport.error('the CA sends an order without certificate')
    return certificateUrl
  }

  #assertNotInvalid(
    state: { readonly status: string; readonly resource: Readonly<Record<string, unknown>> } | undefined,
  ): Readonly<Record<string, unknown>> {
    if (state === undefined) throw this.#transport.error('the CA does not finish the order')
    if (state.status !== 'invalid') return state.resource
    const document = state.resource['error']
    const problem = parseProblem(document)
    throw this.#transport.error(
      `the CA ends the order: ${problem === undefined ? 'no reason given' : describeProblem(problem)}`,
      { document },
    )
  }

  async #post(doing: string, url: string, payload: object | null): Promise<AcmeReply> {
    const { url: accountUrl } = this.#account
    if (accountUrl === undefined) throw this.#transport.error('there is no account yet')
    return await this.#transport.post(doing, url, payload, { accountUrl })
  }
}

/** Some CAs still answer `ready` for a while after finalization. */
function isFinished(status: string): boolean {
  return status === 'valid' || status === 'invalid'
}

async function createAccountKey({ settings, accounts, host, signal }: OrderRequest): Promise<Account> {
  const keyPem = await host.jobs.run('generateKey', 'ecdsa-p256', signal)
  const account = { directoryUrl: settings.directoryUrl, keyPem, url: undefined, contact: undefined }
  // Before the CA hears of it: a key that is lost after that is an account that is lost.
  await accounts.save(account)
  return account
}
