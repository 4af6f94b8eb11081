// The name of a Unix socket in the file system. Creates it without following or replacing any other file of that name,
// and removes it only while it is still ours.
import { chmod, link, lstat, mkdir, mkdtemp, rename, rm, unlink } from 'node:fs/promises'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { codeOf } from '@reverse-proxy/shared/error-text'

/** sockaddr_un.sun_path without its final zero on Linux; other systems allow a little less. */
export const LONGEST_PATH_BYTES = 107
/** Prefix of a temporary directory beside the socket, and the name of the socket in it. */
const TEMPORARY = '.a'
const BOUND = 's'
const PROBE_TIMEOUT_MS = 1_000
/** Another supervisor may take the same name at the same time; one of them succeeds at the second try. */
const TRIES = 3

export type SocketFileFault =
  /** A process listens there. */
  | 'live'
  /** A symbolic link, or a file that is not a socket. */
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

/** The limit applies to the temporary name as well. */
export function isSocketPathTooLong(path: string): boolean {
  const bound = join(dirname(path), `${TEMPORARY}XXXXXX`, BOUND)
  return Math.max(Buffer.byteLength(path), Buffer.byteLength(bound)) > LONGEST_PATH_BYTES
}

export interface SocketFile {
  /** Removes the name unless another file has taken it. */
  release(): Promise<void>
}

/**
 * Makes `server` listen at `path`, mode 0600. Creates the directory (0700) if it is missing.
 * @throws SocketFileError; or the error of the file system
 */
export async function listenOnSocketFile(server: net.Server, path: string): Promise<SocketFile> {
  if (isSocketPathTooLong(path)) throw new SocketFileError('too-long')
  const directory = dirname(path)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  // Bind in a private directory, so that the mode of the socket is never wider than 0600. (Rejected: umask around bind,
  // which applies to the whole process and would affect files of other threads.)
  const temporary = await mkdtemp(join(directory, TEMPORARY))
  try {
    const bound = join(temporary, BOUND)
    await listen(server, bound)
    await chmod(bound, 0o600)
    const { dev, ino } = await lstat(bound, { bigint: true })
    await giveName(bound, path, temporary)
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
    await rm(temporary, { recursive: true, force: true })
  }
}

async function listen(server: net.Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ path }, resolve)
  await promise
  server.off('error', reject)
}

/** Uses link(2) rather than rename(2): it fails atomically if the name exists. */
async function giveName(bound: string, path: string, temporary: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await link(bound, path)
      return
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || tries === TRIES) throw error
    }
    await removeIfStale(path, join(temporary, `old-${tries}`))
  }
}

/** Removes a socket that no process listens on. @throws SocketFileError for anything else */
async function removeIfStale(path: string, aside: string): Promise<void> {
  await assertStale(path)
  try {
    // Rename before the removal: between check and rename, a live socket may have taken the name.
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
  if (await isLive(path)) throw new SocketFileError('live')
}

/** False only if the kernel reports that no process listens; a process too busy to accept counts as live. */
async function isLive(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const probe = net.connect({ path, timeout: PROBE_TIMEOUT_MS })
  probe.once('connect', () => resolve(true))
  probe.once('timeout', () => resolve(true))
  probe.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED' && codeOf(error) !== 'ENOENT'))
  const live = await promise
  probe.destroy()
  return live
}
