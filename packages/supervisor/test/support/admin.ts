// An admin socket in a directory of its own, and a client that sends whatever a test likes.
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { startAdminSocket, type AdminSocket } from '../../src/management/admin/admin-socket.ts'
import type { AdminHandlers } from '../../src/management/admin/protocol.ts'
import { recordingLog } from './recording-log.ts'

const RELOADED = { sites: 1, workers: 'kept', certificates: 'current', warnings: [] } as const

export const STATUS = {
  version: '1.2.3',
  pid: 4321,
  phase: 'serving',
  ready: true,
  started_at: '2026-01-01T00:00:00.000Z',
  workers: { wanted: 2, ready: 2, draining: 0 },
  generation: 1,
  roll: null,
  listeners: 1,
  sites: 2,
  certificates: { total: 1, pending: 0, expired: 0, alarms: 0, first_expiry: '2026-03-01T00:00:00.000Z' },
  last_reload: null,
} as const

const HANDLERS: AdminHandlers = {
  status: async () => STATUS,
  workers: async () => ({ workers: [], unexpected_exits: 0 }),
  certs: async () => ({ certificates: [] }),
  config: async () => await Promise.reject(new Error('not asked')),
  bans: async () => ({ bans: [], total: 0 }),
  unban: async () => ({}),
  reload: async () => RELOADED,
  restart: async () => RELOADED,
  renew: async () => ({ renewed: [] }),
  'reopen-logs': async () => ({}),
}

export interface RunningAdmin {
  readonly path: string
  readonly log: ReturnType<typeof recordingLog>
  readonly admin: AdminSocket | undefined
}

export async function startAdmin(
  t: TestContext,
  handlers: Partial<AdminHandlers> = {},
  path = join(temporaryDirectory(t), 'admin.sock'),
): Promise<RunningAdmin> {
  const log = recordingLog()
  const admin = await startAdminSocket({ path, log, handlers: { ...HANDLERS, ...handlers } })
  t.after(async () => await admin?.close())
  return { path, log, admin }
}

export async function connectTo(t: TestContext, path: string): Promise<net.Socket> {
  const socket = net.connect({ path, allowHalfOpen: true })
  // A client that misbehaves may be cut off while it is still sending.
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** Sends bytes, and returns everything that comes back before the connection is over. */
export async function exchange(t: TestContext, path: string, bytes: string | Uint8Array): Promise<string> {
  const socket = await connectTo(t, path)
  socket.write(bytes)
  return await readAll(socket)
}

/** Also what came before the connection broke. */
export async function readAll(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('end', () => socket.end())
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  socket.on('close', () => resolve())
  await closed
  return Buffer.concat(chunks).toString()
}
