// The name of a Unix socket in the file system: taken without ever following, replacing or opening up
// anything that stands there, and given back only while it is still ours.
import { chmod, link, lstat, mkdir, mkdtemp, rename, rm, unlink } from 'node:fs/promises'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'

/** sockaddr_un.sun_path without its final zero, on Linux; other systems have a little less. */
export const LONGEST_PATH_BYTES = 107
/** A directory beside it, and the name in that. */
const WORKSHOP = '.a'
const BOUND = 's'
const PROBE_TIMEOUT_MS = 1_000
/** Another supervisor may be taking the same name; one of us wins the second time at the latest. */
const TRIES = 3

export type SocketFileFault =
  /** A process answers there. */
  | 'live'
  /** A symbolic link, or something that is no socket. */
  | 'foreign'
  | 'too-long'

export class SocketFileError extends Error {
  readonly fault: SocketFileFault

  constructor(fault: SocketFileFault) {
    super(`the name of the socket cannot be taken: ${fault}`)
    this.name = 'SocketFileError'
    this.fault = fault
  }
}

/** The system's limit holds for the name under which it is bound first, too. */
export function isSocketPathTooLong(path: string): boolean {
  const bound = join(dirname(path), `${WORKSHOP}XXXXXX`, BOUND)
  return Math.max(Buffer.byteLength(path), Buffer.byteLength(bound)) > LONGEST_PATH_BYTES
}

export interface SocketFile {
  /** Removes the name unless something else has come to stand there. */
  release(): Promise<void>
}

/**
 * Makes `server` listen at `path`, mode 0600. The directory is made (0700) when it is missing.
 * @throws SocketFileError; or the error of the file system
 */
export async function listenOnSocketFile(server: net.Server, path: string): Promise<SocketFile> {
  if (isSocketPathTooLong(path)) throw new SocketFileError('too-long')
  const directory = dirname(path)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  // Bound where only we can enter, so that there is no moment at which its mode is wider than 0600.
  // (Rejected: umask around bind, which is the whole process's and would hit other threads' files.)
  const workshop = await mkdtemp(join(directory, WORKSHOP))
  try {
    const bound = join(workshop, BOUND)
    await listen(server, bound)
    await chmod(bound, 0o600)
    const { dev, ino } = await lstat(bound, { bigint: true })
    await giveName(bound, path, workshop)
    return {
      release: async () => {
        const there = await lstat(path, { bigint: true }).catch(() => undefined)
        if (there?.dev === dev && there.ino === ino) await unlink(path).catch(() => {})
      },
    }
  } catch (error) {
    server.close()
    throw error
  } finally {
    await rm(workshop, { recursive: true, force: true })
  }
}

async function listen(server: net.Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ path }, resolve)
  await promise
  server.off('error', reject)
}

/** link(2), not rename(2): it fails where anything stands, in the same step in which it looks. */
async function giveName(bound: string, path: string, workshop: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await link(bound, path)
      return
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || tries === TRIES) throw error
    }
    await removeIfStale(path, join(workshop, `old-${tries}`))
  }
}

/** Removes a socket that nobody answers on. @throws SocketFileError for anything else */
async function removeIfStale(path: string, aside: string): Promise<void> {
  await assertStale(path)
  try {
    // Taken aside before it is removed: between the look and the rename, a living one may have come.
    await rename(path, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  try {
    await assertStale(aside)
  } catch (error) {
    await link(aside, path).catch(() => {})
    throw error
  }
}

async function assertStale(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined)
  if (there === undefined) return
  if (!there.isSocket()) throw new SocketFileError('foreign')
  if (await answers(path)) throw new SocketFileError('live')
}

/** False only when the kernel says that nobody listens; a process too busy to accept is a living one. */
async function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const probe = net.connect({ path, timeout: PROBE_TIMEOUT_MS })
  probe.once('connect', () => resolve(true))
  probe.once('timeout', () => resolve(true))
  probe.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED' && codeOf(error) !== 'ENOENT'))
  const answered = await promise
  probe.destroy()
  return answered
}
