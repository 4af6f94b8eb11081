// The other end of the admin socket, for the command line: asks one thing of the running proxy.
import { once } from 'node:events'
import { lstat } from 'node:fs/promises'
import net from 'node:net'
import { codeOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { AdminAnswer, AdminCommand } from './protocol.ts'

/** Longer answers than this are not ours. */
const ANSWER_BYTES = 16 * 1024 * 1024

type Explanation = readonly [message: string, hint: string]
const NO_ANSWER: Explanation = [
  'the proxy closed the connection without an answer',
  'it may be stopping; try again, and look at its log',
]

export interface AskOptions {
  /** How long the answer may take; undefined: as long as it takes (a reload waits for its last worker). */
  readonly timeoutMs?: number
}

/**
 * Sends one command to the proxy whose socket is `path`.
 * @throws ProxyError ADMIN with a hint when nobody answers, or not in this protocol
 */
export async function askAdmin<Command extends AdminCommand>(
  path: string,
  command: Command,
  operands: readonly string[] = [],
  { timeoutMs }: AskOptions = {},
): Promise<AdminAnswer<Command>> {
  const socket = net.connect({ path })
  const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  const onAbort = (): void => void socket.destroy(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    await once(socket, 'connect')
    socket.write(`${[command, ...operands].join(' ')}\n`)
    return parseAnswer<Command>(await readLine(socket))
  } catch (error) {
    throw error instanceof ProxyError ? error : await explain(path, error)
  } finally {
    signal?.removeEventListener('abort', onAbort)
    socket.destroy()
  }
}

/** The one line of an answer, or what there was before the end. What follows it, an error included, is of no interest. */
async function readLine(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of socket) {
    chunks.push(chunk)
    bytes += chunk.length
    if (chunk.includes('\n')) break
    if (bytes > ANSWER_BYTES) throw strange('its answer does not end')
  }
  return Buffer.concat(chunks).toString()
}

function parseAnswer<Command extends AdminCommand>(text: string): AdminAnswer<Command> {
  if (text === '') {
    const [message, hint] = NO_ANSWER
    throw new ProxyError('ADMIN', message, { hint })
  }
  try {
    // The other end is the same program: beyond its status, an answer is believed to be what was asked for.
    const answer: AdminAnswer<Command> = JSON.parse(text)
    if (isAnswer(answer)) return answer
  } catch {
    // Said below.
  }
  throw strange('its answer is not one')
}

function isAnswer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('status' in value)) return false
  if (value.status === 'ok') return true
  return value.status === 'error' && 'message' in value && typeof value.message === 'string'
}

function strange(what: string): ProxyError {
  return new ProxyError('ADMIN', `what listens there is not reverse-proxy: ${what}`, {
    hint: 'compare admin_socket_path with the configuration that the running proxy was started with',
  })
}

async function explain(path: string, cause: unknown): Promise<ProxyError> {
  const isAbsent = ['ENOENT', 'ECONNREFUSED'].includes(codeOf(cause) ?? '')
  const [message, hint] = (isAbsent ? await obstacleAt(path) : undefined) ?? explanationOf(path, cause)
  return new ProxyError('ADMIN', message, { cause, hint })
}

/** Explains a path that is not a socket: the system reports it like a dead or missing socket. */
async function obstacleAt(path: string): Promise<Explanation | undefined> {
  const there = await lstat(path).catch(() => undefined)
  if (there === undefined || there.isSocket()) return undefined
  const what = there.isSymbolicLink() ? 'a symbolic link' : there.isDirectory() ? 'a directory' : 'a file'
  return [
    `no proxy can be asked here: ${path} is ${what}, not a socket`,
    'a proxy leaves it alone and does without its socket: move it away and start anew, or change admin_socket_path',
  ]
}

function explanationOf(path: string, cause: unknown): Explanation {
  if (cause instanceof Error && cause.name === 'TimeoutError')
    return ['the proxy has not answered in time', 'it may be stopped or overloaded; its log tells']
  const code = codeOf(cause) ?? String(cause)
  switch (code) {
    case 'ENOENT':
      return [
        `no proxy is running here: ${path} does not exist`,
        'start it; or, if it runs with another configuration, name that with --config. One that runs still has the admin_socket_path of its start',
      ]
    case 'ECONNREFUSED':
      return [
        `no proxy is running here: nobody answers on ${path}`,
        'it was killed, or is just starting; the next start removes the old socket',
      ]
    case 'EPIPE':
    case 'ECONNRESET':
      return NO_ANSWER
    case 'EAGAIN':
      return ['too many are asking the proxy at once', 'try again']
    case 'EACCES':
    case 'EPERM':
      return [`${path} belongs to another user`, 'ask as the user who started the proxy, or with sudo']
    default:
      return [`the proxy could not be asked: ${code}`, 'its log may tell why']
  }
}
