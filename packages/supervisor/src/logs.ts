// The supervisor's log: stdout and the log file. The wiring is shared/logs.ts.
import fs from 'node:fs'
import { callbackify } from 'node:util'
import type { Logging } from '@reverse-proxy/shared/config/config'
import { createLogDevice, logTarget, STDOUT_FD } from '@reverse-proxy/shared/log-device'
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import type { Logs } from '@reverse-proxy/shared/logs'
import { openLogs } from '@reverse-proxy/shared/logs'
import { pino } from 'pino'
import { openLogFile } from './log-file.ts'

const openFile = callbackify(async (path: string) => await openLogFile(path))

/** A log whose settings a reload may change. */
export class SupervisorLogs implements Logs {
  #settings: Logging
  #logs: Logs

  constructor(settings: Logging) {
    // What is written there directly, for people, is no reason to end if nobody reads it.
    process.stdout.on('error', () => {})
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
    stdout: logTarget(fs, STDOUT_FD),
    device: createLogDevice({
      fs,
      stdout: process.stdout,
      open: openFile,
      encode: (text) => Buffer.from(text, 'latin1'),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs).unref()
        return () => clearTimeout(timer)
      },
    }),
  })
}
