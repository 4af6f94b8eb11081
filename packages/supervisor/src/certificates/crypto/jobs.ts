// Keys, requests and chain checks, in a small pool of threads: the supervisor's event loop hands out
// connections and must not stall for the time an RSA key takes.
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Piscina } from 'piscina'
import type { JobInput, JobName, JobResult } from './pool-worker.ts'
import type { Job } from './pool-worker.ts'

export interface CertificateJobs {
  /** Runs one job of pool-worker.ts; rejects with the reason of `signal` when that is aborted first. */
  run<Name extends JobName>(name: Name, input: JobInput<Name>, signal?: AbortSignal): Promise<JobResult<Name>>
  /** Ends every thread, whatever it is doing. Idempotent. */
  close(): Promise<void>
}

const MAX_THREADS = 2
const IDLE_TIMEOUT_MS = 5_000
const ENTRY = 'runJob'

/** No thread exists before the first job, nor for long after the last. */
export function createCertificateJobs(): CertificateJobs {
  let pool: Promise<Piscina<Job>> | undefined
  let closed: Promise<void> | undefined
  return {
    run: async (name, input, signal) => {
      try {
        if (closed !== undefined) throw new Error('the threads of certificate jobs have ended')
        pool ??= createPool()
        return await (await pool).run({ name, input }, { signal: signal ?? null })
      } catch (error) {
        signal?.throwIfAborted()
        throw error
      }
    },
    close: async () => {
      closed ??= (async () => await (await pool)?.destroy())()
      await closed
    },
  }
}

async function createPool(): Promise<Piscina<Job>> {
  // A start with valid certificates needs none.
  const { Piscina } = await import('piscina')
  const self = fileURLToPath(import.meta.url)
  return new Piscina<Job>({
    // Beside this file: .js as deployed, .ts in tests.
    filename: self.replace(/jobs\.[jt]s$/u, `pool-worker${extname(self)}`),
    name: ENTRY,
    minThreads: 0,
    maxThreads: MAX_THREADS,
    idleTimeout: IDLE_TIMEOUT_MS,
  })
}
