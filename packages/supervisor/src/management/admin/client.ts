// The client of the admin socket, for the command line: sends one command to the running proxy and reads its reply.
import { once } from 'node:events'
import { lstat } from 'node:fs/promises'
import net from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { AdminReply, AdminCommand } from './protocol.ts'

/** A longer reply does not come from this program. */
const MAX_REPLY_BYTES = 16 * 1024 * 1024

type Explanation = readonly [message: string, hint: string]
const NO_REPLY: Explanation = [
  'the proxy closed the connection without a reply',
  'it may be stopping; try again, and see its log',
]

export interface AskOptions {
  /** How long the reply may take; undefined: no limit, since a reload waits for its last worker. */
  readonly timeoutMs?: number
}

/**
 * Sends one command to the proxy whose socket is `path`.
 * @throws ProxyError ADMIN with a hint when there is no reply, or no valid one
 */
export async function askAdmin<Command extends AdminCommand>(
  path: string,
  command: Command,
  operands: readonly string[] = [],
  { timeoutMs }: AskOptions = {},
): Promise<AdminReply<Command>> {
  const socket = net.connect({ path })
  const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  const onAbort = (): void => void socket.destroy(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    await once(socket, 'connect')
    socket.write(`${[command, ...operands].join(' ')}\n`)
    return parseReply<Command>(path, await readLine(path, socket))
  } catch (error) {
    throw error instanceof ProxyError ? error : await explain(path, error)
  } finally {
    signal?.removeEventListener('abort', onAbort)
    socket.destroy()
  }
}

/** The one line of a reply, or everything up to the end. Ignores what follows the line, an error included. */
async function readLine(path: string, socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of socket) {
    chunks.push(chunk)
    bytes += chunk.length
    if (chunk.includes('\n')) break
    if (bytes > MAX_REPLY_BYTES) throw invalidReply(path)
  }
  return Buffer.concat(chunks).toString()
}

function parseReply<Command extends AdminCommand>(path: string, text: string): AdminReply<Command> {
  if (text === '') {
    const [message, hint] = NO_REPLY
    throw new ProxyError('ADMIN', message, { hint })
  }
  try {
    // The other end is the same program, so nothing but the status of its reply is checked.
    const reply: AdminReply<Command> = JSON.parse(text)
    if (isReply(reply)) return reply
  } catch {
    // Reported below.
  }
  throw invalidReply(path)
}

function isReply(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('status' in value)) return false
  if (value.status === 'ok') return true
  return value.status === 'error' && 'message' in value && typeof value.message === 'string'
}

function invalidReply(path: string): ProxyError {
  const message = `the process listening on ${path} did not send a valid reply; is it reverse-proxy?`
  return new ProxyError('ADMIN', message, {
    hint: 'compare admin_socket_path with the configuration that the running proxy was started with',
  })
}

async function explain(path: string, cause: unknown): Promise<ProxyError> {
  const isAbsent = ['ENOENT', 'ECONNREFUSED'].includes(codeOf(cause) ?? '')
  const [message, hint] = (isAbsent ? await obstacleAt(path) : undefined) ?? explanationOf(path, cause)
  return new ProxyError('ADMIN', message, { cause, hint })
}

/** Explains a path that is not a socket, which the system reports like a dead or missing socket. */
async function obstacleAt(path: string): Promise<Explanation | undefined> {
  const there = await lstat(path).catch(() => undefined)
  if (there === undefined || there.isSocket()) return undefined
  const what = there.isSymbolicLink() ? 'a symbolic link' : there.isDirectory() ? 'a directory' : 'a file'
  return [
    `the proxy cannot be reached: ${path} is ${what}, not a socket`,
    'a proxy does not replace it and runs without its socket: move it away and restart, or change admin_socket_path',
  ]
}

function explanationOf(path: string, cause: unknown): Explanation {
  if (cause instanceof Error && cause.name === 'TimeoutError')
    return ['the proxy did not reply in time', 'it may be stopped or overloaded; see its log']
  const code = codeOf(cause) ?? String(cause)
  switch (code) {
    case 'ENOENT':
      return [
        `no proxy is running here: ${path} does not exist`,
        'start it; or, if it runs with another configuration, pass that file with --config. A running proxy keeps the admin_socket_path of its start',
      ]
    case 'ECONNREFUSED':
      return [
        `no proxy is running here: nothing listens on ${path}`,
        'it was killed, or is still starting; the next start removes the old socket',
      ]
    case 'EPIPE':
    case 'ECONNRESET':
      return NO_REPLY
    case 'EAGAIN':
      return ['too many commands are sent to the proxy at once', 'try again']
    case 'EACCES':
    case 'EPERM':
      return [
        `${path} belongs to another user`,
        'run the command as the user who started the proxy, or with sudo',
      ]
    default:
      return [`the proxy cannot be reached: ${code}`, 'its log may show the reason']
  }
}
