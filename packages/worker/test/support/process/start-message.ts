// What a supervisor tells a worker first.
import { randomBytes } from 'node:crypto'
import type {
  ListenerCertificates,
  SupervisorToWorker,
  WorkerConfig,
} from '@reverse-proxy/shared/ipc/messages'
import { LIMITS } from '../site-server.ts'

export function startMessage(
  settings: Pick<WorkerConfig, 'listeners'> & Partial<WorkerConfig>,
  certificates: readonly ListenerCertificates[],
): SupervisorToWorker {
  return {
    type: 'start',
    start: {
      workerNumber: 1,
      workers: 1,
      config: {
        shutdownTimeoutMs: 5_000,
        logging: { level: 'error', format: 'text', filePath: undefined },
        upstreamRoots: [],
        rateLimit: { requestsPerSecond: 100, burst: 100 },
        limits: LIMITS,
        ...settings,
      },
      certificates,
      challenges: [],
      ticketKeys: randomBytes(48),
      inheritedSockets: [],
      bans: new Uint32Array(),
    },
  }
}
