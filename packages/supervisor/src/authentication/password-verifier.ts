// Compares the passwords that workers are asked to check with the hashes of the configuration. Workers never hold a
// hash, and the event loop never computes one: a pool of threads does. Owns that pool and the limit on failures.
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock } from '@reverse-proxy/shared/clock'
import { stackOf } from '@reverse-proxy/shared/error-text'
import type { PasswordQuestion, PasswordVerdict } from '@reverse-proxy/shared/ipc/messages'
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { Piscina } from 'piscina'
import { FailureLimit } from './failure-limit.ts'
import { parsePasswordFile } from './password-file.ts'
import { hashPassword, parsePasswordHash, type PasswordHash } from './password-hash.ts'
import type { PasswordJob } from './pool-worker.ts'

const MAX_THREADS = 2
/** With 50 ms for each: what waits longer than a few seconds has been given up by its client. */
const MAX_QUEUED = 100
const IDLE_TIMEOUT_MS = 30_000
const BUSY: PasswordVerdict = { kind: 'busy', retryAfterSecs: 5 }

export class PasswordVerifier {
  readonly #clock: Clock
  readonly #log: Log
  readonly #failures = new FailureLimit()
  /** By path of their file, then by user. */
  #users: ReadonlyMap<string, ReadonlyMap<string, PasswordHash>> = new Map()
  #pool: Promise<Piscina<PasswordJob>> | undefined
  #decoy: PasswordHash | undefined

  /** @param clock monotonic */
  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** @param files contents by path, without faults */
  configure(files: ReadonlyMap<string, string>): void {
    this.#users = new Map([...files].map(([path, text]) => [path, parsePasswordFile(text).users]))
  }

  /** Never rejects. */
  async verify({ file, client, user, password }: PasswordQuestion): Promise<PasswordVerdict> {
    const pool = await (this.#pool ??= createPool())
    if (pool.queueSize >= MAX_QUEUED) return BUSY
    const waitMs = this.#failures.begin(client, this.#clock.nowMs())
    if (waitMs > 0) return { kind: 'busy', retryAfterSecs: Math.ceil(waitMs / 1000) }
    const users = this.#users.get(file)
    const known = users?.get(user)
    try {
      // A user who does not exist costs the same time: nobody can find out who does.
      const hash = known ?? users?.values().next().value ?? this.#decoyHash()
      const isMatch = await pool.run({ password, hash })
      if (!isMatch || known === undefined) return { kind: 'denied' }
    } catch (error) {
      this.#log.error('INTERNAL_ERROR', { error: stackOf(error) })
      return BUSY
    }
    this.#failures.succeeded(client)
    return { kind: 'accepted' }
  }

  /** Ends every thread. Idempotent. */
  async close(): Promise<void> {
    const pool = await this.#pool
    await pool?.destroy()
  }

  #decoyHash(): PasswordHash {
    if (this.#decoy === undefined) {
      const parsed = parsePasswordHash(hashPassword(''))
      if (typeof parsed === 'string') throw new TypeError(parsed)
      this.#decoy = parsed
    }
    return this.#decoy
  }
}

/** No thread exists before the first password, nor for long after the last. */
async function createPool(): Promise<Piscina<PasswordJob>> {
  const { Piscina } = await import('piscina')
  const self = fileURLToPath(import.meta.url)
  return new Piscina<PasswordJob>({
    // Beside this file: .js as deployed, .ts in tests.
    filename: self.replace(/password-verifier\.[jt]s$/u, `pool-worker${extname(self)}`),
    name: 'runJob',
    minThreads: 0,
    maxThreads: MAX_THREADS,
    idleTimeout: IDLE_TIMEOUT_MS,
  })
}
