// Signed requests to one CA, through acme-client's own signing but not its retries: every request has
// a time limit and a size limit, no answer is retried here (but a bad nonce), no proxy of the
// environment is used, and errors keep what the CA said. One transport per attempt.
import { Agent } from 'node:https'
import { checkServerIdentity, rootCertificates } from 'node:tls'
import { codeOf, messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import acme from 'acme-client'
import { version } from '../version.ts'
import type { AcmeLimits } from './acme-limits.ts'
import type { AcmeReply, RawAnswer } from './acme-answer.ts'
import { connectionHint, headerOf, hintFor, replyOf, retryAfterMsOf } from './acme-answer.ts'
import { AcmeError, describeProblem, parseProblem } from './acme-problem.ts'
import type { ListeningClock } from './certificate-clock.ts'
import { isRecord } from './json.ts'

const ANSWER_BYTES = 1024 * 1024
const OK_BELOW = 300

// acme-client's interceptors sleep through any Retry-After and turn network errors into TypeErrors
// (its issue 101). They sit on one object for the whole process.
acme.axios.interceptors.request.clear()
acme.axios.interceptors.response.clear()

export interface ExternalAccount {
  readonly kid: string
  /** base64url */
  readonly hmacKey: string
}

export interface TransportOptions {
  readonly directoryUrl: string
  /** PKCS#8 PEM. */
  readonly accountKeyPem: string
  readonly externalAccount: ExternalAccount | undefined
  /** Roots to trust beside the well-known ones. */
  readonly caPem: string | undefined
  /** Told what time it is at the CA, with every answer that says so. */
  readonly clock: ListeningClock
  readonly limits: Pick<AcmeLimits, 'requestMs'>
  readonly signal: AbortSignal
}

/** Who signs: the account (by its URL) or, where there is none yet, the bare key. */
type Signer = { readonly accountUrl: string } | { readonly bindExternalAccount: boolean }

// The parts of acme-client that its types leave out.
interface ClientInternals {
  readonly http: {
    request(url: string, method: string, options?: { data?: unknown }): Promise<RawAnswer>
    signedRequest(
      url: string,
      payload: object | null,
      options: { kid: string | null; nonce: string; includeExternalAccountBinding: boolean },
    ): Promise<RawAnswer>
  }
}

export class AcmeTransport {
  readonly #options: TransportOptions
  readonly #client: acme.Client
  readonly #http: ClientInternals['http']
  readonly #agent: Agent
  #directory: Readonly<Record<string, unknown>> | undefined
  #nonce: string | undefined
  /** Of the certificate that the CA's server showed last. */
  #peerValidity = { fromMs: Infinity, untilMs: -Infinity }
  #reached = false

  constructor(options: TransportOptions) {
    const { directoryUrl, accountKeyPem, externalAccount, caPem } = options
    this.#options = options
    this.#agent = new Agent({
      keepAlive: true,
      checkServerIdentity: (host, peer) => {
        this.#peerValidity = { fromMs: Date.parse(peer.valid_from), untilMs: Date.parse(peer.valid_to) }
        return checkServerIdentity(host, peer)
      },
      ...(caPem !== undefined && { ca: [...rootCertificates, caPem] }),
    })
    this.#client = new acme.Client({
      directoryUrl,
      accountKey: accountKeyPem,
      ...(externalAccount !== undefined && { externalAccountBinding: externalAccount }),
    })
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its types hide the layer below
    this.#http = (this.#client as unknown as ClientInternals).http
    this.#http.request = async (url, method, request = {}) => await this.#send(url, method, request.data)
  }

  /** Whether the CA has answered anything yet. */
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
  async get(doing: string, url: string): Promise<AcmeReply> {
    const response = await this.#send(url, 'get', undefined)
    if (response.status >= OK_BELOW) throw this.#refusal(doing, response)
    return replyOf(response, this.#options.clock.nowMs())
  }

  /**
   * One signed request; a `payload` of null is a POST-as-GET. `doing` begins the error's message.
   * Throws AcmeError for anything but success.
   */
  async post(doing: string, url: string, payload: object | null, signer: Signer): Promise<AcmeReply> {
    const byAccount = 'accountUrl' in signer
    const nonce = await this.#takeNonce()
    let response: RawAnswer
    try {
      response = await this.#http.signedRequest(url, payload, {
        kid: byAccount ? signer.accountUrl : null,
        nonce,
        includeExternalAccountBinding: !byAccount && signer.bindExternalAccount,
      })
    } catch (error) {
      if (error instanceof ProxyError) throw error
      this.#options.signal.throwIfAborted()
      throw this.error(`${doing}: ${messageOf(error)}`, {
        cause: error,
      })
    }
    if (response.status >= OK_BELOW) throw this.#refusal(doing, response)
    return replyOf(response, this.#options.clock.nowMs())
  }

  /** RFC 8555 8.1 */
  async keyAuthorization(token: string): Promise<string> {
    // The text is the same for every type; acme-client reads nothing of the challenge but type and token.
    return await this.#client.getChallengeKeyAuthorization({
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

  async #readDirectory(): Promise<Readonly<Record<string, unknown>>> {
    if (this.#directory === undefined) {
      const response = await this.#send(this.#options.directoryUrl, 'get', undefined)
      if (response.status >= OK_BELOW || !isRecord(response.data)) {
        throw this.#refusal('cannot read the directory', response)
      }
      this.#directory = response.data
    }
    return this.#directory
  }

  /** The nonce of the last answer, or a new one: saves a round trip for every request. */
  async #takeNonce(): Promise<string> {
    if (this.#nonce === undefined) {
      const response = await this.#send(await this.urlOf('newNonce'), 'head', undefined)
      if (response.status >= OK_BELOW) throw this.#refusal('cannot get a nonce', response)
    }
    const nonce = this.#nonce
    this.#nonce = undefined
    if (nonce === undefined) throw this.error('the CA gives no nonce')
    return nonce
  }

  async #send(url: string, method: string, data: unknown): Promise<RawAnswer> {
    const { signal, directoryUrl, limits } = this.#options
    if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
      throw this.error(`the CA names a URL that is not https: ${url.slice(0, 200)}`)
    }
    let response: RawAnswer
    try {
      response = await acme.axios.request({
        url,
        method,
        data,
        headers: {
          'Content-Type': 'application/jose+json',
          'User-Agent': `reverse-proxy/${version} acme-client`,
          // Text would have to be counted before and after it is unpacked.
          'Accept-Encoding': 'identity',
        },
        httpsAgent: this.#agent,
        // axios' own timeout is one of silence: an answer of one byte a second would never end.
        signal: AbortSignal.any([signal, AbortSignal.timeout(limits.requestMs)]),
        maxContentLength: ANSWER_BYTES,
        maxRedirects: 0,
        proxy: false,
        decompress: false,
        validateStatus: null,
      })
    } catch (error) {
      signal.throwIfAborted()
      throw this.#networkError(directoryUrl, error)
    }
    this.#reached = true
    this.#nonce = headerOf(response, 'replay-nonce') ?? this.#nonce
    this.#hearDate(Date.parse(headerOf(response, 'date') ?? ''))
    return response
  }

  /** A date when the CA's own certificate was not valid, or none at all, comes from a clock worse than ours. */
  #hearDate(dateMs: number): void {
    const { fromMs, untilMs } = this.#peerValidity
    if (dateMs >= fromMs && dateMs <= untilMs) this.#options.clock.heard(dateMs)
  }

  #networkError(directoryUrl: string, error: unknown): AcmeError {
    const code = codeOf(error) ?? ''
    // It did answer, with more than ANSWER_BYTES or with what is no HTTP.
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
    })
  }

  #refusal(doing: string, response: RawAnswer): AcmeError {
    const problem = parseProblem(response.data)
    const said = problem === undefined ? `the CA answered ${response.status}` : describeProblem(problem)
    const hint = problem === undefined ? undefined : hintFor(problem)
    return this.error(`${doing}: ${said}`, {
      document: problem === undefined ? undefined : response.data,
      retryAfterMs: retryAfterMsOf(response, this.#options.clock.nowMs()),
      answerStatus: response.status,
      ...(hint !== undefined && { hint }),
    })
  }
}
