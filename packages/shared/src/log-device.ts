// The files of a log as a process has them, on the part of node:fs that it hands in. Waits for nobody:
// a pipe without a reader cannot be opened now, and one that is full takes nothing now.
import type { LogDevice, LogDeviceError, LogTarget } from './log-destination.ts'

type Done<Result> = (error: LogDeviceError | null, result: Result) => void
interface Stats {
  isFile(): boolean
}

type LogFileFlag = 'O_APPEND' | 'O_CREAT' | 'O_NOFOLLOW' | 'O_NONBLOCK' | 'O_WRONLY'

/** The part of node:fs that is used. */
export interface LogFileSystem {
  readonly constants: Readonly<Record<LogFileFlag, number>>
  write(fd: number, bytes: Uint8Array, done: Done<number>): void
  close(fd: number, done: () => void): void
  fstatSync(fd: number): Stats
}

export interface LogDeviceTools {
  readonly fs: LogFileSystem
  /** process.stdout: only for what it knows of its descriptor; nothing is written through it. */
  readonly stdout: object
  /** Opens it with logFileFlags. */
  readonly open: (path: string, done: Done<number>) => void
  readonly encode: LogDevice['encode']
  readonly after: LogDevice['after']
}

export const STDOUT_FD = 1
/** Readable for the group: log shippers and fail2ban are rarely root. */
export const LOG_FILE_MODE = 0o640

/** What pipe(7) promises not to mix with the writes of others: PIPE_BUF. */
const PIPE_WRITE_BYTES = 4096
/** The kernel appends to a file write by write, however long they are. */
const FILE_WRITE_BYTES = 64 * 1024

/** The flags that a log is opened with: to append, through no link, and without waiting for the reader of a pipe. */
export function logFileFlags({
  O_APPEND,
  O_CREAT,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_WRONLY,
}: LogFileSystem['constants']): number {
  return O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK
}

/** `fd` as a target, whatever it is. */
export function logTarget(fs: Pick<LogFileSystem, 'fstatSync'>, fd: number): LogTarget {
  return { fd, maxWriteBytes: fs.fstatSync(fd).isFile() ? FILE_WRITE_BYTES : PIPE_WRITE_BYTES }
}

export function createLogDevice({ fs, stdout, open, encode, after }: LogDeviceTools): LogDevice {
  return {
    open: (path, done) => {
      open(path, (error, fd) => {
        if (error === null) done(null, logTarget(fs, fd))
        else done(error)
      })
    },
    write: (fd, bytes, done) => {
      if (fd === STDOUT_FD) keepFromWaiting(stdout)
      fs.write(fd, bytes, done)
    },
    close: (fd) => fs.close(fd, () => {}),
    encode,
    after,
  }
}

interface StreamHandle {
  setBlocking(blocking: boolean): void
}

/**
 * Makes stdout, be it a pipe, a socket or a terminal, one that a write does not wait for: a thread that waits
 * for a reader which never reads would keep its process from ending. Once is not enough, since all our
 * processes share it, and the runtime makes it one that waits whenever it starts a process with it and
 * whenever such a process ends. A file has no handle, and needs none.
 */
function keepFromWaiting(stdout: object): void {
  // The runtime has no other way to it.
  const handle: unknown = Reflect.get(stdout, '_handle')
  if (isStreamHandle(handle)) handle.setBlocking(false)
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return typeof handle === 'object' && handle !== null && 'setBlocking' in handle
}
