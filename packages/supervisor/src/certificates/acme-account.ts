// The account at each CA: its key, made once, and its URL. Both lie in the cache directory, since a new
// account for every order would soon be refused.
import { createHash, createPrivateKey } from 'node:crypto'
import { join } from 'node:path'
import { AcmeError } from './acme-problem.ts'
import { parseRecord } from './json.ts'
import type { AcmeTransport } from './acme-transport.ts'
import { readCacheFile } from './cache-file.ts'
import { cacheError, makePrivateSubdirectory, replaceFile, sweepTemporary } from './durable.ts'
import type { OnQuarantined } from './quarantine.ts'

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
  readonly #cacheDirectory: string
  readonly #onQuarantined: OnQuarantined

  constructor(cacheDirectory: string, onQuarantined: OnQuarantined) {
    this.#cacheDirectory = cacheDirectory
    this.#onQuarantined = onQuarantined
  }

  /** The account at `directoryUrl`; undefined if there is none. A damaged file is put aside. Throws CACHE. */
  async load(directoryUrl: string): Promise<Account | undefined> {
    return await readCacheFile({
      directory: this.#cacheDirectory,
      name: nameOf(directoryUrl),
      parse: (text) => parseAccount(text, directoryUrl),
      onQuarantined: this.#onQuarantined,
    })
  }

  async save(account: Account): Promise<void> {
    try {
      const directory = await makePrivateSubdirectory(this.#cacheDirectory, DIRECTORY)
      const path = join(this.#cacheDirectory, nameOf(account.directoryUrl))
      await replaceFile(path, `${JSON.stringify(account)}\n`)
      await sweepTemporary(directory)
    } catch (error) {
      throw cacheError(this.#cacheDirectory, error)
    }
  }
}

const DIRECTORY = 'accounts'

/** Inside the cache directory. */
function nameOf(directoryUrl: string): string {
  const digest = createHash('sha256').update(directoryUrl).digest('hex').slice(0, 12)
  return join(DIRECTORY, `${new URL(directoryUrl).hostname}-${digest}.json`)
}

function parseAccount(text: string, expectedUrl: string): Account | undefined {
  const account = parseRecord(text)
  if (account === undefined) return undefined
  const { directoryUrl, keyPem, url, contact } = account
  if (directoryUrl !== expectedUrl || typeof keyPem !== 'string' || !isAccountKey(keyPem)) return undefined
  return {
    directoryUrl: expectedUrl,
    keyPem,
    url: typeof url === 'string' ? url : undefined,
    contact: typeof contact === 'string' ? contact : undefined,
  }
}

/** Anything else would fail at every request, for ever. */
function isAccountKey(keyPem: string): boolean {
  try {
    const { asymmetricKeyType } = createPrivateKey(keyPem)
    return asymmetricKeyType === 'ec' || asymmetricKeyType === 'rsa'
  } catch {
    return false
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
