// The supervisor's log: stdout and the log file.
import { callbackify } from 'node:util'
import type { Logging } from '@reverse-proxy/shared/config/config'
import { createLogDevice } from '@reverse-proxy/shared/log/device'
import type { LogEvent, LogFields } from '@reverse-proxy/shared/log-fields'
import { openLogs, type Logs } from '@reverse-proxy/shared/log/logs'
import { openLogFile } from './log-file.ts'

/** A log whose settings a reload may change. */
export class SupervisorLogs implements Logs {
  #settings: Logging
  #logs: Logs

  constructor(settings: Logging) {
    // Ignore a closed stdout: the program goes on without a reader.
    process.stdout.on('error', () => {})
    this.#settings = settings
    this.#logs = open(settings)
  }

  get filePath(): string | undefined {
    return this.#settings.filePath
  }

  configure(settings: Logging): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return
    const before = this.#logs
    this.#settings = settings
    this.#logs = open(settings)
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

function open(settings: Logging): Logs {
  return openLogs(settings, createLogDevice(callbackify(async (path: string) => await openLogFile(path))))
}
