// A supervisor as certificate managers see it, with one "worker": a listener that answers challenges.
import http from 'node:http'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge, PushedCertificate } from '@reverse-proxy/shared/ipc/messages'
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import { CertificateCounts } from '../../../packages/supervisor/src/certificates/status.ts'
import { openFileStorage } from '../../../packages/supervisor/src/certificates/storage/file-storage.ts'
import type { StorageOpener } from '../../../packages/supervisor/src/certificates/storage/storage.ts'
import type {
  CertificateServices,
  OrderProgress,
} from '../../../packages/supervisor/src/certificates/services.ts'
import { createCertificateJobs } from '../../../packages/supervisor/src/certificates/crypto/jobs.ts'
import type { WaitableClock } from '../../../packages/supervisor/src/os/waitable-clock.ts'

const NOTICED_WITHIN_MS = 20

/** One pool for all hosts of a test file: each new thread loads half a second's worth of modules. */
const sharedJobs = createCertificateJobs()
after(async () => await sharedJobs.close())

export interface LogEntry {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly event: LogEvent
  readonly fields: LogFields
}

/** Keeps what it is told; a test may move its clock. */
export class FakeHost implements CertificateServices, StorageOpener {
  readonly openStorage = openFileStorage
  readonly jobs = sharedJobs
  readonly counts = new CertificateCounts()
  /** See CertificateServices. */
  stateDir?: string | undefined
  readonly published: (readonly PushedCertificate[])[] = []
  readonly armed: (readonly ArmedChallenge[])[] = []
  readonly logged: LogEntry[] = []
  readonly steps: string[] = []
  /** Added to the real time: so much has passed. */
  clockOffsetMs = 0

  readonly clock: WaitableClock = {
    nowMs: () => Date.now() + this.clockOffsetMs,
    timerMs: () => performance.now() + this.clockOffsetMs,
    // Soon notices that a test has moved it.
    sleep: async (delayMs, signal) => {
      await sleep(Math.min(delayMs, NOTICED_WITHIN_MS), undefined, { signal }).catch(() => {})
    },
  }
  readonly log = {
    debug: (event: LogEvent, fields: LogFields = {}): void => this.#keep({ level: 'debug', event, fields }),
    info: (event: LogEvent, fields: LogFields = {}): void => this.#keep({ level: 'info', event, fields }),
    warn: (event: LogEvent, fields: LogFields = {}): void => this.#keep({ level: 'warn', event, fields }),
    error: (event: LogEvent, fields: LogFields = {}): void => this.#keep({ level: 'error', event, fields }),
  }

  /** What is armed now. */
  get challenges(): readonly ArmedChallenge[] {
    return this.armed.at(-1) ?? []
  }

  events(): string[] {
    return this.logged.map(({ level, event }) => `${level} ${event}`)
  }

  async publish(_listenerId: string, certificates: readonly PushedCertificate[]): Promise<void> {
    this.published.push(certificates)
  }

  async arm(_listenerId: string, challenges: readonly ArmedChallenge[]): Promise<void> {
    this.armed.push(challenges)
  }

  progress({ step }: OrderProgress): void {
    this.steps.push(step)
  }

  #keep(entry: LogEntry): void {
    this.logged.push(entry)
  }
}

/** Of a listener with two names at `ca`. */
export function settingsFor(
  ca: { readonly directoryUrl: string; readonly caFile: string },
  cacheDir: string,
  changes: Partial<AcmeSettings> = {},
): AcmeSettings {
  return {
    mode: 'acme',
    domains: ['one.example', 'two.example'],
    cacheDir,
    directoryUrl: ca.directoryUrl,
    contact: 'mailto:admin@one.example',
    challenge: 'tls-alpn-01',
    caFile: ca.caFile,
    eab: undefined,
    keyType: 'ecdsa-p256',
    profile: undefined,
    preferredChain: undefined,
    ...changes,
  }
}

/** Answers tls-alpn-01 on `port` with what `host` has armed, under `maxVersion` at most. */
export async function answerTlsAlpn(
  t: TestContext,
  host: Pick<FakeHost, 'challenges'>,
  port: number,
  maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3',
): Promise<void> {
  const server = tls.createServer({
    maxVersion,
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (serverName, callback) => {
      const challenge = host.challenges.find(
        (one) => one.type === 'tls-alpn-01' && one.serverName === serverName,
      )
      if (challenge?.type !== 'tls-alpn-01') return callback(new Error('not armed'))
      return callback(null, tls.createSecureContext({ cert: challenge.certPem, key: challenge.keyPem }))
    },
  })
  server.on('tlsClientError', () => {})
  server.on('secureConnection', (socket) => socket.on('error', () => {}).end())
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
}

/** Answers http-01 on `port` with what `host` has armed. */
export async function answerHttp(t: TestContext, host: FakeHost, port: number): Promise<void> {
  const server = http.createServer((request, response) => {
    const challenge = host.challenges.find(
      (one) => one.type === 'http-01' && request.url === `/.well-known/acme-challenge/${one.token}`,
    )
    if (challenge?.type !== 'http-01') response.writeHead(404).end()
    else response.end(challenge.keyAuthorization)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
}
