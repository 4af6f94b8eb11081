// Signed requests to one CA, through acme-client's own signing but not its HTTP: every request has a time limit and
// a size limit, is paced with all others to that CA, and is sent again where the trouble passes by itself; errors
// keep what the CA said. One transport per attempt.
import { codeOf } from '@reverse-proxy/shared/error-text'
import type acme from 'acme-client'
import { version } from '../../../os/version.ts'
import type { AcmeLimits } from './time-limits.ts'
import type { AcmeResponse, RawResponse } from './response.ts'
import {
  absoluteUrl,
  connectionHint,
  dateMsOf,
  headerOf,
  hintFor,
  responseOf,
  retryAfterMsOf,
} from './response.ts'
import type { CaPacer } from './pacer.ts'
import { pacerFor } from './pacer.ts'
import { holdOf, isBusy, isPassingCode, persist, REQUEST_TRIES } from './patience.ts'
import { AcmeError, describeProblem, parseProblem } from './problem.ts'
import type { ExternalAccount, Signer } from './signature.ts'
import { signedBody } from './signature.ts'
import { createCaAgent } from './ca-agent.ts'
import { loadAcmeClient } from './library.ts'
import type { WaitableClock } from '../../../os/waitable-clock.ts'
import { isRecord } from '@reverse-proxy/shared/json'

const RESPONSE_BYTES = 1024 * 1024
const OK_BELOW = 300
const REDIRECTS_BELOW = 400
const REDIRECT_LIMIT = 3
/** To HEAD, by servers that know GET and POST alone. */
const METHOD_REFUSED: readonly number[] = [405, 501]

export interface TransportOptions {
  readonly directoryUrl: string
  readonly externalAccount: ExternalAccount | undefined
  /** Roots to trust beside the well-known ones. */
  readonly caPem: string | undefined
  readonly clock: WaitableClock
  /** Called with the Date header field of each response (Unix time in ms). */
  readonly onDate?: ((dateMs: number) => void) | undefined
  readonly limits: Pick<AcmeLimits, 'requestMs'>
  readonly signal: AbortSignal
  /** How often a request is sent, at most; several times by default. */
  readonly tries?: number
}

export interface PostOptions {
  /** Asked directly before each time that the request is sent; throws to stop that. */
  readonly before?: (() => Promise<void>) | undefined
  readonly tries?: number | undefined
}

export class AcmeTransport {
  readonly #options: TransportOptions
  readonly #agent: ReturnType<typeof createCaAgent>
  readonly #pacer: CaPacer
  /** Unset where nothing is signed. */
  #accountKey: string | undefined
  /** The signer of that key; made at its first use. */
  #client: acme.Client | undefined
  #directory: Readonly<Record<string, unknown>> | undefined
  #nonce: string | undefined
  #reached = false

  constructor(options: TransportOptions) {
    this.#options = options
    this.#pacer = pacerFor(options.directoryUrl)
    this.#agent = createCaAgent(options.caPem)
  }

  /** From now on this key signs; PKCS#8 PEM. */
  useKey(accountKey: string): void {
    this.#accountKey = accountKey
    this.#client = undefined
  }

  /** Whether the CA has sent any response yet. */
  get reached(): boolean {
    return this.#reached
  }

  /** URL of `newAccount`, `newOrder`, ... from the CA's directory. */
  async urlOf(resource: string): Promise<string> {
    const url = await this.optionalUrlOf(resource)
    if (url === undefined) {
      throw this.error(`the directory at ${this.#options.directoryUrl} has no ${resource}`, {
        hint: 'tls.acme_directory must be the URL of an ACME directory',
      })
    }
    return url
  }

  /** As `urlOf`, for what not every CA has. */
  async optionalUrlOf(resource: string): Promise<string | undefined> {
    const url = (await this.#readDirectory())[resource]
    return typeof url === 'string' ? url : undefined
  }

  /** Names of the profiles that the CA offers; none if it has no such thing. */
  async profiles(): Promise<readonly string[]> {
    const { meta } = await this.#readDirectory()
    return isRecord(meta) && isRecord(meta['profiles']) ? Object.keys(meta['profiles']) : []
  }

  /** A request that needs no signature. Throws AcmeError for anything but success. */
  async get(doing: string, url: string): Promise<AcmeResponse> {
    return await this.#persist(async () => {
      const { response, at } = await this.#get(url)
      if (response.status >= OK_BELOW) throw this.#responseError(doing, response)
      return responseOf(response, at, this.#options.clock.nowMs())
    })
  }

  /**
   * One signed request; a `payload` of null is a POST-as-GET. `doing` begins the error's message.
   * Throws AcmeError for anything but success.
   */
  async post(
    doing: string,
    url: string,
    payload: object | null,
    signer: Signer,
    { before, tries }: PostOptions = {},
  ): Promise<AcmeResponse> {
    await this.#readDirectory()
    return await this.#persist(async (isRepeat) => {
      const data = signedBody(await this.#signing(), url, payload, {
        signer,
        nonce: await this.#takeNonce(),
        externalAccount: this.#options.externalAccount,
      })
      const response = await this.#send(url, 'post', data, before)
      if (response.status >= OK_BELOW) throw this.#responseError(doing, response, isRepeat)
      return responseOf(response, url, this.#options.clock.nowMs())
    }, tries)
  }

  /** RFC 8555 8.1 */
  async keyAuthorization(token: string): Promise<string> {
    // The text is the same for every type; acme-client reads nothing of the challenge but type and token.
    const client = await this.#signing()
    return await client.getChallengeKeyAuthorization({
      type: 'http-01',
      token,
      url: '',
      status: 'pending',
    })
  }

  /** An AcmeError that knows whether the CA has been reached. */
  error(
    message: string,
    options: Omit<ConstructorParameters<typeof AcmeError>[1], 'reachedCa'> = {},
  ): AcmeError {
    return new AcmeError(message, { ...options, reachedCa: this.#reached })
  }

  close(): void {
    this.#agent.destroy()
  }

  async #signing(): Promise<acme.Client> {
    const accountKey = this.#accountKey
    if (accountKey === undefined) throw this.error('there is no account key yet')
    const { Client } = await loadAcmeClient()
    this.#client ??= new Client({ directoryUrl: this.#options.directoryUrl, accountKey })
    return this.#client
  }

  async #persist<Result>(ask: (isRepeat: boolean) => Promise<Result>, tries?: number): Promise<Result> {
    const { clock, signal, tries: limit = tries ?? REQUEST_TRIES } = this.#options
    const result = await persist(ask, { clock, signal, limit })
    this.#pacer.noteSuccess()
    return result
  }

  async #readDirectory(): Promise<Readonly<Record<string, unknown>>> {
    this.#directory ??= await this.#persist(async () => {
      const { response } = await this.#get(this.#options.directoryUrl)
      if (response.status >= OK_BELOW || !isRecord(response.data)) {
        throw this.#responseError('cannot read the directory', response)
      }
      return response.data
    })
    return this.#directory
  }

  /** Follows redirections, which a signed request cannot: its signature is for one URL (RFC 8555 6.4). */
  async #get(url: string): Promise<{ readonly response: RawResponse; readonly at: string }> {
    let at = url
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(at, 'get', undefined)
      const location = headerOf(response, 'location')
      const isRedirect = response.status >= OK_BELOW && response.status < REDIRECTS_BELOW
      if (!isRedirect || location === undefined || redirects === REDIRECT_LIMIT) return { response, at }
      at = absoluteUrl(location, at)
    }
  }

  /** The nonce of the last response, which saves a round trip, or a new one. */
  async #takeNonce(): Promise<string> {
    if (this.#nonce === undefined) {
      const url = await this.urlOf('newNonce')
      let response = await this.#send(url, 'head', undefined)
      if (METHOD_REFUSED.includes(response.status)) response = await this.#send(url, 'get', undefined)
      if (response.status >= OK_BELOW) throw this.#responseError('cannot get a nonce', response)
    }
    const nonce = this.#nonce
    this.#nonce = undefined
    if (nonce === undefined) throw this.error('the CA gives no nonce')
    return nonce
  }

  async #send(
    url: string,
    method: string,
    data: object | undefined,
    before?: () => Promise<void>,
  ): Promise<RawResponse> {
    const { clock, signal, directoryUrl, limits } = this.#options
    if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
      throw this.error(`the CA names a URL that is not https: ${url.slice(0, 200)}`)
    }
    const { axios } = await loadAcmeClient()
    await this.#pacer.take(clock, signal)
    await before?.()
    let response: RawResponse
    try {
      response = await axios.request({
        url,
        method,
        data,
        headers: {
          'Content-Type': 'application/jose+json',
          'User-Agent': `reverse-proxy/${version} acme-client`,
          // A compressed body would need two size limits.
          'Accept-Encoding': 'identity',
        },
        httpsAgent: this.#agent,
        // The timeout of axios limits silence only: a response of one byte a second would never end.
        signal: AbortSignal.any([signal, AbortSignal.timeout(limits.requestMs)]),
        maxContentLength: RESPONSE_BYTES,
        maxRedirects: 0,
        decompress: false,
        validateStatus: null,
      })
    } catch (error) {
      signal.throwIfAborted()
      throw this.#networkError(directoryUrl, error)
    }
    this.#reached = true
    this.#nonce = headerOf(response, 'replay-nonce') ?? this.#nonce
    const dateMs = dateMsOf(response)
    if (dateMs !== undefined) this.#options.onDate?.(dateMs)
    return response
  }

  #networkError(directoryUrl: string, error: unknown): AcmeError {
    const code = codeOf(error) ?? ''
    // The CA did respond: with more than RESPONSE_BYTES, or with something that is not HTTP.
    this.#reached ||= code === 'ERR_BAD_RESPONSE'
    const what =
      code === 'ERR_CANCELED'
        ? `no whole answer within ${this.#options.limits.requestMs / 1000} s`
        : error instanceof Error && error.message !== ''
          ? error.message
          : code
    return this.error(`cannot reach the ACME server ${directoryUrl}: ${what}`, {
      cause: error,
      hint: connectionHint(code),
      isUnsettled: isPassingCode(code),
    })
  }

  #responseError(doing: string, response: RawResponse, isRepeat = false): AcmeError {
    const { clock } = this.#options
    const problem = parseProblem(response.data)
    const said = problem === undefined ? `the CA answered ${response.status}` : describeProblem(problem)
    const hint = problem === undefined ? undefined : hintFor(problem)
    const error = this.error(`${doing}: ${said}`, {
      document: problem === undefined ? undefined : response.data,
      retryAfterMs: retryAfterMsOf(response, clock.nowMs()),
      responseStatus: response.status,
      isRepeat,
      ...(hint !== undefined && { hint }),
    })
    if (isBusy(error)) this.#pacer.noteBusy(clock.timerMs(), holdOf(error))
    return error
  }
}
