// One order, from the account to a certificate that has been checked: RFC 8555 7. Saves nothing but the
// account and the order that is under way, installs nothing, retries nothing. The caller decides what a failure means.
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { OrderEnding } from './finalize.ts'
import { finishOrder, resumeOrder } from './finalize.ts'
import { stateOf } from './polling.ts'
import { AcmeError } from './transport/problem.ts'
import { mayBlameReplaces, mayReplace } from './replaces.ts'
import { readCaRoots, readExternalAccount } from './operator-files.ts'
import type { AcmeResponse } from './transport/response.ts'
import { pacerFor } from './transport/pacer.ts'
import { AcmeRegistration } from './registration.ts'
import type { PostOptions } from './transport/transport.ts'
import { AcmeTransport } from './transport/transport.ts'
import type { PendingAuthorization } from './authorization.ts'
import { proveNames, readAuthorization } from './authorization.ts'
import type { ContactRequest, OrderRecord, OrderRequest } from './order-request.ts'
import type { StoredCertificate } from '../certificate.ts'

/** Waits while there are too many others at the CA. Throws AcmeError, or ProxyError CACHE, CERTIFICATE or CONFIG. */
export async function placeOrder(request: OrderRequest): Promise<StoredCertificate> {
  return await converse(request, async (order) => await order.run())
}

/**
 * The certificate of the order that an earlier attempt has recorded; undefined where there is none, or the CA will not
 * issue it any more. Throws as `placeOrder` does; what was recorded stays recorded then.
 */
export async function resumeRecorded(
  request: Omit<OrderRequest, 'names'>,
): Promise<StoredCertificate | undefined> {
  const { settings, orders, predecessor } = request
  const record = await orders.load()
  if (record === undefined) return undefined
  const isWanted =
    record.directoryUrl === settings.directoryUrl &&
    record.names.every((name) => settings.domains.includes(name)) &&
    // Issued, saved and in service.
    record.keyPem !== predecessor?.keyPem
  if (isWanted) {
    const named = { ...request, names: record.names }
    return await converse(named, async (order) => await order.resume(record))
  }
  await orders.clear()
  return undefined
}

/** Tells the CA of a contact that has changed since the last order. Throws as placeOrder does. */
export async function syncContact(request: ContactRequest): Promise<void> {
  const [transport, account] = await approach({
    ...request,
    // Nothing is registered for a contact alone.
    mayOrder: async () => {},
    progress: () => {},
  })
  try {
    await account.syncContact()
  } finally {
    transport.close()
  }
}

async function converse<Result>(
  request: OrderRequest,
  act: (order: Order) => Promise<Result>,
): Promise<Result> {
  const { settings, signal } = request
  const work = async (): Promise<Result> => await converseNow(request, act)
  return await pacerFor(settings.directoryUrl).order(signal, work)
}

async function converseNow<Result>(
  request: OrderRequest,
  act: (order: Order) => Promise<Result>,
): Promise<Result> {
  const { limits } = request
  const overdue = AbortSignal.timeout(limits.orderMs)
  const signal = AbortSignal.any([request.signal, overdue])
  const [transport, account] = await approach({ ...request, signal })
  try {
    return await act(new Order({ ...request, signal }, transport, account))
  } catch (error) {
    if (error !== overdue.reason) throw error
    throw transport.error(`the CA has not finished the order within ${limits.orderMs / 1000} s`)
  } finally {
    transport.close()
  }
}

async function approach(
  request: ContactRequest & Pick<OrderRequest, 'mayOrder' | 'progress'>,
): Promise<[AcmeTransport, AcmeRegistration]> {
  const { settings, accounts, sharedAccounts, host, limits, signal, mayOrder, progress } = request
  const transport = new AcmeTransport({
    directoryUrl: settings.directoryUrl,
    externalAccount: await readExternalAccount(settings),
    caPem: await readCaRoots(settings),
    clock: host.clock,
    limits,
    signal,
  })
  const registration = new AcmeRegistration(transport, {
    settings,
    accounts,
    shared: sharedAccounts,
    jobs: host.jobs,
    signal,
    mayOrder,
    progress: (detail) => progress('account', detail),
  })
  return [transport, registration]
}

class Order {
  readonly #request: OrderRequest
  readonly #transport: AcmeTransport
  readonly #account: AcmeRegistration

  constructor(request: OrderRequest, transport: AcmeTransport, account: AcmeRegistration) {
    this.#request = request
    this.#transport = transport
    this.#account = account
  }

  async run(): Promise<StoredCertificate> {
    const { settings, names, progress } = this.#request
    progress('account')
    await this.#account.ensure()

    progress('order')
    const order = await this.#open()
    const pending = await this.#readAuthorizations(order.resource)
    if (pending.length > 0) {
      const post = this.#post.bind(this)
      await proveNames(pending, { request: this.#request, transport: this.#transport, post })
    }

    const { directoryUrl } = settings
    const accountUrl = this.#accountUrl()
    const finalizeUrl = order.resource['finalize']
    return await finishOrder(this.#ending, {
      directoryUrl,
      accountUrl,
      orderUrl: order.url,
      names,
      finalizeUrl,
    })
  }

  /** Undefined if the record is no longer of use; it is gone then. */
  async resume(record: OrderRecord): Promise<StoredCertificate | undefined> {
    if (!(await this.#account.find(record.accountUrl))) {
      await this.#request.orders.clear()
      return undefined
    }
    return await resumeOrder(this.#ending, record)
  }

  get #ending(): OrderEnding {
    return { request: this.#request, transport: this.#transport, post: this.#post.bind(this) }
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
  async #place(url: string): Promise<AcmeResponse> {
    const { names, mayOrder, progress } = this.#request
    const profile = await this.#profile()
    const identifiers = names.map((value) => ({ type: 'dns', value }))
    const order = { identifiers, ...(profile !== undefined && { profile }) }
    const replaces = await this.#replaces()
    const send = async (payload: object): Promise<AcmeResponse> =>
      await this.#post('the order is refused', url, payload, { before: mayOrder })
    try {
      return await send({ ...order, ...(replaces !== undefined && { replaces }) })
    } catch (error) {
      if (await this.#account.replaceIfGone(error)) {
        progress('order', 'once more, by another account, which has nothing to replace')
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
      // The CA has counted nothing, so the next attempt need not wait.
      reachedCa: false,
      hint:
        offered.length === 0
          ? 'it offers no profiles: remove tls.acme_profile'
          : `set tls.acme_profile to one of its own: ${offered.join(', ').slice(0, 500)}`,
    })
  }

  async #readAuthorizations(order: Readonly<Record<string, unknown>>): Promise<PendingAuthorization[]> {
    const { names, solver } = this.#request
    const urls = Array.isArray(order['authorizations']) ? order['authorizations'] : []
    if (urls.length > names.length) {
      throw this.#transport.error(`the CA wants ${urls.length} proofs for ${names.length} names`)
    }
    const pending: PendingAuthorization[] = []
    for (const url of urls) {
      if (typeof url !== 'string') throw this.#transport.error('the CA sends an order that cannot be read')
      const { data } = await this.#post('cannot read an authorization', url, null)
      const authorization = readAuthorization(url, data, solver, this.#transport)
      if (authorization === undefined) continue
      if (!names.includes(authorization.name)) {
        throw this.#transport.error(`the CA wants ${authorization.name} proved, which was not ordered`)
      }
      pending.push(authorization)
    }
    // CAs shuffle them; log lines and errors keep our order.
    return pending.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name))
  }

  #accountUrl(): string {
    const { url } = this.#account
    if (url === undefined) throw this.#transport.error('there is no account yet')
    return url
  }

  async #post(
    doing: string,
    url: string,
    payload: object | null,
    options?: PostOptions,
  ): Promise<AcmeResponse> {
    return await this.#account.post(doing, url, payload, options)
  }
}
