// Clients of every ordinary kind, one handshake after the other, who know what they ought to be shown: by
// HTTP/2 and HTTP/1.1, TLS 1.3 and 1.2, a ClientHello in one piece and in many, with a name and without.
import type { Handshake, HandshakeOptions } from './handshake.ts'
import { handshake } from './handshake.ts'
import { waitFor } from '../wait.ts'

type Hello = Pick<HandshakeOptions, 'serverName' | 'alpn' | 'maxVersion' | 'pieceBytes'>

interface Ordinary {
  readonly hello: Hello
  /** The protocol agreed on, or the alert. */
  readonly expected: string | false
}

const VARIANTS: readonly Hello[] = [{}, { maxVersion: 'TLSv1.2' }, { pieceBytes: 97 }]

// RFC 8737 3: only a list of exactly `acme-tls/1` is the CA's.
function ordinary(serverName: string): readonly Ordinary[] {
  return VARIANTS.flatMap((variant) => {
    const named = { ...variant, serverName }
    return [
      { hello: { ...named, alpn: ['h2', 'http/1.1'] }, expected: 'h2' },
      { hello: { ...named, alpn: ['http/1.1'] }, expected: 'http/1.1' },
      { hello: { ...named, alpn: ['h2', 'http/1.1', 'acme-tls/1'] }, expected: 'h2' },
      { hello: { ...named, alpn: ['acme-tls/1', 'http/1.1'] }, expected: 'http/1.1' },
      { hello: { ...named, alpn: undefined }, expected: false },
      { hello: { ...variant, alpn: ['h2'] }, expected: 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE' },
      {
        hello: { ...named, serverName: '1.0.0.127.in-addr.arpa' },
        expected: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
      },
    ]
  })
}

export interface OrdinaryClientsOptions {
  readonly port: number
  readonly serverName: string
  /** At a time. */
  readonly clients: number
}

export class OrdinaryClients {
  /** Handshakes that went otherwise than they should. */
  readonly wrong: unknown[] = []
  readonly #stopping = new AbortController()
  readonly #clients: readonly Promise<void>[]
  #finished = 0

  constructor({ port, serverName, clients }: OrdinaryClientsOptions) {
    const all = ordinary(serverName)
    let turn = 0
    const come = async (): Promise<void> => {
      while (!this.#stopping.signal.aborted) {
        const { hello, expected } = all[turn++ % all.length] ?? { hello: {}, expected: false }
        const seen = await handshake({ port, ...hello })
        if (!isAsExpected(seen, expected, serverName)) this.wrong.push({ hello, expected, seen })
        this.#finished++
      }
    }
    this.#clients = Array.from({ length: clients }, come)
  }

  /** Resolves when so many handshakes have been made in all. */
  async reach(handshakes: number, timeoutMs: number): Promise<void> {
    await waitFor(`${handshakes} handshakes`, () => this.#finished >= handshakes, timeoutMs)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#clients)
  }
}

function isAsExpected(seen: Handshake, expected: string | false, serverName: string): boolean {
  if (seen.result === 'failed') return seen.code === expected
  return seen.alpn === expected && !seen.isChallenge && seen.subjectAltName.includes(`DNS:${serverName}`)
}
