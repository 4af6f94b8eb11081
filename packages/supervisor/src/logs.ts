// The supervisor's log: stdout and the log file, which it creates for the workers, too. The wiring is
// shared/logs.ts.
import fs from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { Logging } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { createLogDevice, LOG_FILE_MODE, logFileFlags, logTarget } from '@reverse-proxy/shared/log-device'
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import type { Logs } from '@reverse-proxy/shared/logs'
import { openLogs } from '@reverse-proxy/shared/logs'
import { pino } from 'pino'
import type { Account } from './account.ts'
import { codeOf } from './certificates/durable.ts'

const STDOUT = 1
const SHARED_LOG_FILE_MODE = 0o660

/**
 * Creates the file where there is none, owned by the account that workers write to it as.
 * Throws CONFIG when that is not possible.
 */
export async function prepareLogFile(path: string | undefined, account: Account | undefined): Promise<void> {
  if (path === undefined) return
  try {
    const file = await openLogFile(path)
    try {
      if (account !== undefined) await share(file, account)
    } finally {
      await file.close()
    }
  } catch (cause) {
    // A pipe that nobody reads yet: it is there, and lines are held until somebody does.
    if (codeOf(cause) === 'ENXIO') return
    throw new ProxyError('CONFIG', `the log file ${path} cannot be written: ${messageOf(cause)}`, {
      cause,
      hint: 'create its directory, writable for the account the supervisor runs as, or change logging.log_file_path',
    })
  }
}

/** Whatever the umask, a new file has LOG_FILE_MODE. */
async function openLogFile(path: string): Promise<FileHandle> {
  const flags = logFileFlags(fs.constants)
  try {
    const created = await open(path, flags | fs.constants.O_EXCL, LOG_FILE_MODE)
    await created.chmod(LOG_FILE_MODE)
    return created
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return await open(path, flags)
  }
}

/** Gives the file to the workers' account; where the supervisor may give nothing away, the group shares it. */
async function share(file: FileHandle, account: Account): Promise<void> {
  const { uid, gid } = await file.stat()
  if (uid === account.uid) return
  try {
    await file.chown(account.uid, account.gid)
  } catch (error) {
    // Root without CAP_CHOWN, as under deploy/systemd, where the directory passes its group on.
    if (codeOf(error) !== 'EPERM' || gid !== account.gid) throw error
    await file.chmod(SHARED_LOG_FILE_MODE)
  }
}

/** A log whose settings a reload may change. */
export class SupervisorLogs implements Logs {
  #settings: Logging
  #logs: Logs

  constructor(settings: Logging) {
    // Only this makes a pipe one that a write does not wait for, for the workers, too, which inherit it. A
    // thread that waits for a reader would keep the process from ending.
    process.stdout.on('error', ignore)
    this.#settings = settings
    this.#logs = openPinoLogs(settings)
  }

  get filePath(): string | undefined {
    return this.#settings.filePath
  }

  configure(settings: Logging): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return
    const before = this.#logs
    this.#settings = settings
    this.#logs = openPinoLogs(settings)
    void before.flush().then(() => before.abandon())
  }

  debug(event: LogEvent, fields?: LogFields): void {
    this.#logs.debug(event, fields)
  }

  info(event: LogEvent, fields?: LogFields): void {
    this.#logs.info(event, fields)
  }

  warn(event: LogEvent, fields?: LogFields): void {
    this.#logs.warn(event, fields)
  }

  error(event: LogEvent, fields?: LogFields): void {
    this.#logs.error(event, fields)
  }

  reopen(): void {
    this.#logs.reopen()
  }

  async flush(): Promise<void> {
    await this.#logs.flush()
  }

  abandon(): void {
    this.#logs.abandon()
  }
}

function openPinoLogs(settings: Logging): Logs {
  return openLogs(settings, {
    isoTime: pino.stdTimeFunctions.isoTime,
    createLogger: (options, stream) => pino(options, stream),
    stdout: logTarget(fs, STDOUT),
    device: createLogDevice({
      fs,
      encode: (text) => Buffer.from(text, 'latin1'),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs).unref()
        return () => clearTimeout(timer)
      },
    }),
  })
}

function ignore(): void {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
