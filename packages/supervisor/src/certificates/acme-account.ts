// The account at each CA: its key, made once, and its URL. Both lie in the cache directory, since a new
// account for every order would soon be refused.
import { createHash } from 'node:crypto'
import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { AcmeError } from './acme-problem.ts'
import { parseRecord } from './json.ts'
import type { AcmeTransport } from './acme-transport.ts'
import { cacheError, codeOf, makePrivateDirectory, replaceFile } from './durable.ts'

export interface Account {
  readonly directoryUrl: string
  /** PKCS#8 PEM. */
  readonly keyPem: string
  /** Unset until the CA has confirmed the account. */
  readonly url: string | undefined
  readonly contact: string | undefined
}

/** The accounts of one cache directory; the caller holds its lock. */
export class AccountStore {
  readonly #directory: string

  constructor(cacheDirectory: string) {
    this.#directory = join(cacheDirectory, 'accounts')
  }

  /** The account at `directoryUrl`; undefined if there is none. A damaged file is put aside. Throws CACHE. */
  async load(directoryUrl: string): Promise<Account | undefined> {
    const path = this.#pathOf(directoryUrl)
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw cacheError(this.#directory, error)
    }
    const account = parseAccount(text)
    if (account?.directoryUrl === directoryUrl) return account
    await rename(path, `${path}.damaged`).catch((error: unknown) => {
      throw cacheError(this.#directory, error)
    })
    return undefined
  }

  async save(account: Account): Promise<void> {
    try {
      await makePrivateDirectory(this.#directory)
      await replaceFile(this.#pathOf(account.directoryUrl), `${JSON.stringify(account)}\n`)
    } catch (error) {
      throw cacheError(this.#directory, error)
    }
  }

  #pathOf(directoryUrl: string): string {
    const digest = createHash('sha256').update(directoryUrl).digest('hex').slice(0, 12)
    return join(this.#directory, `${new URL(directoryUrl).hostname}-${digest}.json`)
  }
}

function parseAccount(text: string): Account | undefined {
  const account = parseRecord(text)
  if (account === undefined) return undefined
  const { directoryUrl, keyPem, url, contact } = account
  if (typeof directoryUrl !== 'string' || typeof keyPem !== 'string' || !keyPem.includes('PRIVATE KEY')) {
    return undefined
  }
  return {
    directoryUrl,
    keyPem,
    url: typeof url === 'string' ? url : undefined,
    contact: typeof contact === 'string' ? contact : undefined,
  }
}

export interface Registration {
  readonly contact: string
  readonly bindExternalAccount: boolean
  /** Asked directly before an account is created; throws to stop that. */
  readonly mayOrder: () => Promise<void>
}

/** Makes sure that the CA knows the account, and returns it with its URL. Throws AcmeError. */
export async function register(
  transport: AcmeTransport,
  account: Account,
  { contact, bindExternalAccount, mayOrder }: Registration,
): Promise<Account & { readonly url: string }> {
  const newAccount = await transport.urlOf('newAccount')
  const key = { bindExternalAccount: false }
  // Binding codes may be single-use (RFC 8555 7.3.4): an account whose URL got lost is looked up, not made again.
  let reply = await transport
    .post('cannot look up the account', newAccount, { onlyReturnExisting: true }, key)
    .catch((error: unknown) => {
      // Some CAs want the binding with every newAccount, this one included.
      if (isUnknownAccount(error) || (bindExternalAccount && wantsBinding(error))) return undefined
      throw error
    })
  if (reply === undefined) {
    await mayOrder()
    const payload = { termsOfServiceAgreed: true, contact: [contact] }
    reply = await transport.post('cannot create an account', newAccount, payload, { bindExternalAccount })
  }
  if (reply.location === undefined) throw transport.error('the CA gives the account no URL')
  return { ...account, url: reply.location, contact }
}

function wantsBinding(error: unknown): boolean {
  return error instanceof AcmeError && error.problem?.type === 'externalAccountRequired'
}

/** The CA has forgotten the account, or never knew it. */
export function isUnknownAccount(error: unknown): boolean {
  return error instanceof AcmeError && error.problem?.type === 'accountDoesNotExist'
}
