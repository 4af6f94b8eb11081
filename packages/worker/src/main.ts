// Entry point of a worker process: connects signals, messages and exit to lifecycle.ts.
import cluster from 'node:cluster'
import type { EXIT_OK, EXIT_WORKER_BOOT } from '@reverse-proxy/shared/exit-codes'
import { HEARTBEAT_INTERVAL_MS } from '@reverse-proxy/shared/ipc/messages'
import type { SupervisorToWorker, WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import { WorkerLifecycle } from './lifecycle.ts'

// Only messages of the supervisor and SIGKILL end a worker. The whole process group gets Ctrl-C and the hangup of a
// closed terminal; the supervisor handles both. SIGUSR1 would open the inspector.
const IGNORED_SIGNALS = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGTTIN',
  'SIGTTOU',
] as const
for (const signal of IGNORED_SIGNALS) process.on(signal, () => {})

/** Ends the process; the flag tells node:cluster that the exit is intended. */
function exit(code: typeof EXIT_OK | typeof EXIT_WORKER_BOOT): void {
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  process.exit(code)
}

function send(message: WorkerToSupervisor, then: () => void = () => {}): void {
  if (process.send === undefined || !process.connected) then()
  else process.send(message, undefined, undefined, then)
}

const lifecycle = new WorkerLifecycle({ send, exit })
process.on('message', (message: SupervisorToWorker) => lifecycle.onMessage(message))
// Without the flag, node:cluster ends a worker as soon as its supervisor is gone, and cuts its requests.
cluster.worker?.on('disconnect', () => {
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true
  lifecycle.onSupervisorGone()
})
// node:cluster fails to send to a supervisor that has just died; the disconnect event follows.
cluster.worker?.on('error', () => {})
// Unreferenced, so that the timer alone does not keep the process alive.
setInterval(() => lifecycle.heartbeat(), HEARTBEAT_INTERVAL_MS).unref()
send({ type: 'booted' })
