// An ACME client without patience, for trying out the servers of the tests: acme-client's signing, one
// request a call, whatever was answered handed back as it came. Proves names by http-01, where Pebble looks.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { Agent } from 'node:https'
import type { TestContext } from 'node:test'
import acme from 'acme-client'
import { waitFor } from '../wait.ts'
import { listOf } from './request.ts'

// acme-client tries again by itself and turns network errors into TypeErrors; here neither must happen.
acme.axios.interceptors.request.clear()
acme.axios.interceptors.response.clear()

export interface Reply {
  readonly status: number
  /** JSON where it was that, else text. */
  readonly data: unknown
  readonly headers: Readonly<Record<string, string | undefined>>
}

export interface Obtained {
  readonly chainPem: string
  readonly keyPem: string
}

export interface Server {
  readonly directoryUrl: string
  readonly caFile: string
}

// What acme-client's types leave out.
interface Internals {
  readonly api: { apiRequest(url: string, payload: object | null): Promise<Reply> }
  readonly http: {
    request(url: string, method: string): Promise<Reply>
    getResourceUrl(resource: string): Promise<string>
  }
}

export class PlainClient {
  readonly #client: acme.Client
  readonly #internals: Internals
  /** Path -> what Pebble must find there. */
  readonly #proofs: Map<string, string>

  private constructor(client: acme.Client, proofs: Map<string, string>) {
    this.#client = client
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its types hide the layers below
    this.#internals = client as unknown as Internals
    this.#proofs = proofs
  }

  /** With an account of its own at the server; `httpPort` is where Pebble connects. */
  static async register(t: TestContext, server: Server, httpPort: number): Promise<PlainClient> {
    const { directoryUrl, caFile } = server
    // A connection for each request: what one fault has left on it must not meet the next request.
    acme.axios.defaults.httpsAgent = new Agent({ ca: await readFile(caFile), keepAlive: false })
    const accountKey = await acme.crypto.createPrivateEcdsaKey()
    const client = new acme.Client({ directoryUrl, accountKey })
    await client.createAccount({ termsOfServiceAgreed: true })
    return new PlainClient(client, await serveProofs(t, httpPort))
  }

  /** URL of `newOrder`, `renewalInfo`, ... in the directory; rejects when it is not there. */
  async urlOf(resource: string): Promise<string> {
    return await this.#internals.http.getResourceUrl(resource)
  }

  async get(url: string): Promise<Reply> {
    return await this.#internals.http.request(url, 'get')
  }

  /** Signed; null is a POST-as-GET. */
  async post(url: string, payload: object | null): Promise<Reply> {
    return await this.#internals.api.apiRequest(url, payload)
  }

  async newOrder(names: readonly string[], extras: object = {}): Promise<Reply> {
    const identifiers = names.map((value) => ({ type: 'dns', value }))
    return await this.post(await this.urlOf('newOrder'), { identifiers, ...extras })
  }

  /** Proves every name of an order, and asks for its certificate; answers what finalize answered. */
  async finish(order: Reply, keyPem: string): Promise<Reply> {
    const { authorizations, identifiers, finalize } = objectOf(order)
    if (!Array.isArray(authorizations)) throw new Error(`the order is refused: ${JSON.stringify(order.data)}`)
    for (const url of authorizations) await this.#prove(String(url))
    await this.awaitStatus(locationOf(order), 'ready')
    const altNames = listOf(identifiers).map(({ value }) => String(value))
    const [, csr] = await acme.crypto.createCsr({ altNames }, keyPem)
    return await this.post(String(finalize), { csr: derOf(csr) })
  }

  /** Polls until the CA says so. */
  async awaitStatus(url: string, status: string): Promise<Reply> {
    return await waitFor(`${url} is ${status}`, async () => {
      const reply = await this.post(url, null)
      return objectOf(reply)['status'] === status && reply
    })
  }

  /** A whole order, from nothing to the downloaded chain. */
  async obtain(names: readonly string[], extras: object = {}): Promise<Obtained> {
    const keyPem = (await acme.crypto.createPrivateEcdsaKey()).toString()
    const order = await this.newOrder(names, extras)
    await this.finish(order, keyPem)
    const { certificate } = objectOf(await this.awaitStatus(locationOf(order), 'valid'))
    const { data } = await this.post(String(certificate), null)
    return { chainPem: String(data), keyPem }
  }

  async #prove(authorizationUrl: string): Promise<void> {
    const authorization = objectOf(await this.post(authorizationUrl, null))
    const challenge = listOf(authorization['challenges']).find(({ type }) => type === 'http-01')
    const token = String(challenge?.['token'])
    // acme-client reads no more of a challenge than its type and its token.
    const proof = await this.#client.getChallengeKeyAuthorization({
      type: 'http-01',
      token,
      url: '',
      status: 'pending',
    })
    this.#proofs.set(`/.well-known/acme-challenge/${token}`, proof)
    await this.post(String(challenge?.['url']), {})
  }
}

/** The JSON object that was answered. */
export function objectOf({ status, data }: Reply): Record<string, unknown> {
  if (typeof data === 'object' && data !== null) return { ...data }
  throw new Error(`the CA answered ${status} without an object: ${String(data)}`)
}

export function locationOf({ status, headers }: Reply): string {
  const { location } = headers
  if (location === undefined) throw new Error(`the CA answered ${status} without a Location`)
  return location
}

function derOf(pem: Buffer): string {
  return Buffer.from(pem.toString().replaceAll(/-----[A-Z ]+-----|\s/gu, ''), 'base64').toString('base64url')
}

async function serveProofs(t: TestContext, port: number): Promise<Map<string, string>> {
  const proofs = new Map<string, string>()
  const server = http.createServer((request, response) => response.end(proofs.get(request.url ?? '')))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return proofs
}
