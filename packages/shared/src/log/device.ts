// Opens, writes and closes log files, pipes and stdout. No call blocks: a pipe without a reader fails to open, and a
// full pipe fails to write.
import fs from 'node:fs'
import type { LogDevice, LogDeviceError, LogTarget } from './destination.ts'

type OpenLog = (path: string, done: (error: LogDeviceError | null, fd: number) => void) => void

const STDOUT_FD = 1
/** Readable for the group: log shippers and fail2ban rarely run as root. */
export const LOG_FILE_MODE = 0o640
/** Appends, follows no link at the end of the path, and does not wait for the reader of a pipe. */
export const LOG_FILE_FLAGS =
  fs.constants.O_WRONLY |
  fs.constants.O_APPEND |
  fs.constants.O_CREAT |
  fs.constants.O_NOFOLLOW |
  fs.constants.O_NONBLOCK

/** PIPE_BUF: pipe(7) does not mix a write of this size with the writes of others. */
const PIPE_WRITE_BYTES = 4096
/** The kernel appends each write to a file as a whole, however long it is. */
const FILE_WRITE_BYTES = 64 * 1024

/** The device of a process. `open` opens a file with LOG_FILE_FLAGS. */
export function createLogDevice(open: OpenLog = openToAppend): LogDevice {
  return {
    open: (path, done) => {
      open(path, (error, fd) => {
        if (error === null) done(null, logTarget(fd))
        else done(error)
      })
    },
    write: (fd, bytes, done) => {
      if (fd === STDOUT_FD) setNonBlocking(process.stdout)
      fs.write(fd, bytes, done)
    },
    close: (fd) => fs.close(fd, () => {}),
    encode: (text) => Buffer.from(text, 'latin1'),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs).unref()
      return () => clearTimeout(timer)
    },
  }
}

export function stdoutTarget(): LogTarget {
  return logTarget(STDOUT_FD)
}

function logTarget(fd: number): LogTarget {
  return { fd, maxWriteBytes: fs.fstatSync(fd).isFile() ? FILE_WRITE_BYTES : PIPE_WRITE_BYTES }
}

function openToAppend(path: string, done: (error: LogDeviceError | null, fd: number) => void): void {
  fs.open(path, LOG_FILE_FLAGS, LOG_FILE_MODE, done)
}

interface StreamHandle {
  setBlocking(blocking: boolean): void
}

/**
 * Sets O_NONBLOCK on stdout: a write that blocks on a stalled reader would keep the process from exiting. Our children
 * share the flag, and the runtime clears it whenever it starts a child or a child exits, so it is set before every
 * write. A file has no handle and needs none.
 */
function setNonBlocking(stdout: object): void {
  // The runtime offers no other way.
  const handle: unknown = Reflect.get(stdout, '_handle')
  if (isStreamHandle(handle)) handle.setBlocking(false)
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return typeof handle === 'object' && handle !== null && 'setBlocking' in handle
}
