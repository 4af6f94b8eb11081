// A CA as it may be on its worst day: HTTPS in front of a real Pebble, which does the honest work. Adds
// what Pebble 2.4 lacks (acme/newer-ca.ts), and breaks what a test asks for:
//
//   const ca = await startAcmeFaultProxy(t, pebble)        // tls.acme_directory = ca.directoryUrl
//   ca.inject({ on: 'newOrder', answer: rateLimited('3600'), times: 2 })
//   ca.inject({ on: ['order', 'finalize'], answer: reportStatus('processing') })
//   ca.inject({ on: 'everything', answer: badNonce(), share: 0.9, when: ({ method }) => method === 'POST' })
//   ca.suggest = suggestAt(0.25)                           // ARI: the window lies at a quarter of the lifetime
//   await ca.down()                                        // nobody listens
//   assert.equal(ca.requestsOf('newOrder').length, 1)
//
// The answers are in acme/answers.ts (Pebble never hears of the request) and acme/alterations.ts (it does);
// any function of the shape `Behaviour` will do.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import type { Answer, Behaviour, Exchange } from './exchange.ts'
import type { Fault, InjectedFault } from './fault-script.ts'
import { FaultScript } from './fault-script.ts'
import type { IssuedCertificate } from './issued.ts'
import { NewerCa } from './newer-ca.ts'
import { PebbleFront } from './pebble-front.ts'
import type { SuggestRenewal } from './renewal-info.ts'
import type { AcmeRequest, RequestKind } from './request.ts'
import { parseRequest } from './request.ts'
import { freePort } from '../ports.ts'
import type { CertificatePair } from '../tls-material.ts'
import { TestCa } from '../tls-material.ts'

const OK = 200

/** What the proxy needs to know of the Pebble behind it. */
export interface AcmeServer {
  readonly directoryUrl: string
  /** PEM of the root to trust when talking to it. */
  readonly caFile: string
}

/** Listens on 127.0.0.1 until the test is over. */
export async function startAcmeFaultProxy(t: TestContext, pebble: AcmeServer): Promise<AcmeFaultProxy> {
  const ca = await TestCa.create(t)
  const proxy = new AcmeFaultProxy({
    port: await freePort(),
    caFile: ca.certPath,
    pair: await ca.issue(['127.0.0.1', 'localhost']),
    directoryPath: new URL(pebble.directoryUrl).pathname,
    pebble: new PebbleFront(pebble.directoryUrl, await readFile(pebble.caFile, 'utf8')),
  })
  t.after(async () => await proxy.down())
  await proxy.up()
  return proxy
}

interface Setup {
  readonly port: number
  readonly caFile: string
  readonly pair: CertificatePair
  readonly directoryPath: string
  readonly pebble: PebbleFront
}

class AcmeFaultProxy {
  readonly directoryUrl: string
  /** PEM of the root to trust when talking to the proxy: what `tls.acme_ca_file` takes. */
  readonly caFile: string
  /** Everything that clients have asked for, in the order it came in. */
  readonly requests: AcmeRequest[] = []

  readonly #port: number
  readonly #server: https.Server
  readonly #pebble: PebbleFront
  readonly #ca = new NewerCa()
  readonly #script = new FaultScript()
  /** By the client's port: TLS hides the connection below it. */
  readonly #connections = new Map<number | undefined, Socket>()

  constructor({ port, caFile, pair, directoryPath, pebble }: Setup) {
    this.#port = port
    this.caFile = caFile
    this.#pebble = pebble
    this.directoryUrl = `https://127.0.0.1:${port}${directoryPath}`
    this.#server = https.createServer({ cert: pair.certPem, key: pair.keyPem }, (request, response) => {
      void this.#serve(request, response)
    })
    this.#server.on('connection', (connection) => this.#track(connection))
    this.#server.on('tlsClientError', () => {})
  }

  /** From now on; faults injected earlier go first. */
  inject(fault: Fault): InjectedFault {
    return this.#script.inject(fault)
  }

  /** The CA is well again. */
  removeFaults(): void {
    this.#script.removeAll()
  }

  /** What the CA says of renewal: as Boulder does by default; undefined takes ARI out of its directory. */
  set suggest(suggest: SuggestRenewal | undefined) {
    this.#ca.suggest = suggest
  }

  /** The profiles that the CA offers: none by default. An order for another one is refused. */
  set profiles(profiles: Readonly<Record<string, string>>) {
    this.#ca.profiles = profiles
  }

  /** Certificates that clients have fetched here, as they got them. */
  get certificates(): readonly IssuedCertificate[] {
    return this.#ca.certificates.all
  }

  requestsOf(kind: RequestKind): AcmeRequest[] {
    return this.requests.filter((request) => request.kind === kind)
  }

  /** Refuses connections, and ends those there are. Idempotent. */
  async down(): Promise<void> {
    if (!this.#server.listening) return
    this.#server.close()
    for (const connection of this.#connections.values()) connection.destroy()
    await once(this.#server, 'close')
  }

  /** Listens again, on the same port. */
  async up(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers, socket } = incoming
    const connection = this.#connections.get(socket.remotePort)
    if (connection === undefined) throw new Error('a request came in over no connection')
    response.on('error', () => {})
    let request
    try {
      request = parseRequest({ method, path, headers }, await buffer(incoming))
    } catch {
      // The client went away before it had asked for anything.
      return
    }
    this.requests.push(request)
    countSent(request, response, connection)
    const behaviour = this.#script.behaviourFor(request) ?? honest
    try {
      await behaviour(this.#exchange(request, response, connection))
    } catch (error) {
      request.error = error
      connection.destroy()
    }
  }

  #exchange(request: AcmeRequest, response: ServerResponse, connection: Socket): Exchange {
    return {
      request,
      response,
      connection,
      forward: async () => await this.#ca.answer(request, async () => await this.#pebble.forward(request)),
      freshNonce: async () => await this.#pebble.freshNonce(),
      send: (answer) => this.#send(request, response, answer),
    }
  }

  #send(request: AcmeRequest, response: ServerResponse, { status, headers, body }: Answer): void {
    if (request.kind === 'certificate' && status === OK) {
      this.#ca.certificates.note(body.toString(), request.accountUrl)
    }
    response.writeHead(status, { ...headers, 'content-length': body.length })
    response.end(body)
  }

  #track(connection: Socket): void {
    const { remotePort } = connection
    this.#connections.set(remotePort, connection)
    connection.on('error', () => {})
    connection.on('close', () => this.#connections.delete(remotePort))
  }
}

export type { AcmeFaultProxy }

const honest: Behaviour = async ({ forward, send }) => send(await forward())

function countSent(request: AcmeRequest, response: ServerResponse, connection: Socket): void {
  const before = connection.bytesWritten
  const count = (): void => {
    request.status = response.headersSent ? response.statusCode : undefined
    request.sentBytes = connection.bytesWritten - before
  }
  response.on('finish', count)
  response.on('close', count)
}
