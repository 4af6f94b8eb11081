// A worker process as main.ts makes one, outside a cluster, with one thing more: it says what it holds.
import { readdirSync, readlinkSync } from 'node:fs'
import type { SupervisorToWorker, WorkerToSupervisor } from '@reverse-proxy/shared/ipc/messages'
import { WorkerLifecycle } from '../../../src/lifecycle.ts'

export interface Holdings {
  /** After two forced collections. */
  readonly rssBytes: number
  /** Open file descriptors that are sockets. */
  readonly sockets: number
  /** What keeps the event loop alive, by kind. */
  readonly handles: Readonly<Record<string, number>>
}

export type ToWorker = SupervisorToWorker | { readonly type: 'weigh' }
export type FromWorker = WorkerToSupervisor | { readonly type: 'weighed'; readonly holdings: Holdings }

function send(message: FromWorker, then: () => void = () => {}): void {
  if (process.send === undefined || !process.connected) then()
  else process.send(message, undefined, undefined, then)
}

function weigh(): Holdings {
  for (let i = 0; i < 2; i++) globalThis.gc?.()
  const handles: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) handles[kind] = (handles[kind] ?? 0) + 1
  return { rssBytes: process.memoryUsage.rss(), sockets: openSockets(), handles }
}

function openSockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // the one the directory was read with
    }
  }).length
}

const lifecycle = new WorkerLifecycle({ send, exit: (code) => process.exit(code) })
process.on('message', (message: ToWorker) => {
  if (message.type === 'weigh') send({ type: 'weighed', holdings: weigh() })
  else lifecycle.onMessage(message)
})
process.on('disconnect', () => lifecycle.onSupervisorGone())
send({ type: 'booted' })
