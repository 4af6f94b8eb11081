// The log of a process: one pino logger that writes to stdout and, where configured, to a file.
import { pino } from 'pino'
import type { LogFormat, Logging } from '../config/config.ts'
import type { Log, LogEvent, LogFields } from '../log-fields.ts'
import { boundFields, escapeJson, formatLine } from '../log-fields.ts'
import { LogDestination, type LogDevice, type LogTarget } from './destination.ts'
import { createLogDevice, stdoutTarget } from './device.ts'

export interface Logs extends Log {
  /** Opens the file again, after logrotate has moved it away. */
  reopen(): void
  /** Resolves when every line so far has been written, or its destination fails. */
  flush(): Promise<void>
  /** Closes every destination. Unwritten lines are lost. */
  abandon(): void
}

const PINO_METADATA = Symbol.for('pino.metadata')

export function openLogs(
  settings: Logging,
  device: LogDevice = createLogDevice(),
  stdout: LogTarget = stdoutTarget(),
): Logs {
  const destinations: LogDestination[] = []
  const stream = new LineStream(settings.format, destinations)
  const options = {
    level: settings.level,
    base: null,
    messageKey: 'event',
    timestamp: settings.format === 'json' ? pino.stdTimeFunctions.isoTime : false,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const logger = pino(options, Object.assign(stream, { [PINO_METADATA]: true }))
  const fieldsFor = settings.format === 'json' ? boundFields : (fields: LogFields) => new TextFields(fields)
  const open = (source: string | LogTarget): void => {
    const destination: LogDestination = new LogDestination({
      device,
      source,
      describeDropped: (count) =>
        stream.capture(() => logger.warn(fieldsFor({ count }), 'LOG_DROPPED' satisfies LogEvent)),
      onFailing: (error) => {
        const others = destinations.filter((other) => other !== destination)
        const destinationName = typeof source === 'string' ? source : 'stdout'
        const line = stream.capture(() =>
          logger.error(fieldsFor({ destination: destinationName, error }), 'LOG_FAILED' satisfies LogEvent),
        )
        for (const other of others) other.write(line)
      },
    })
    destinations.push(destination)
  }
  open(stdout)
  if (settings.filePath !== undefined) open(settings.filePath)

  return {
    debug: (event, fields = {}) => logger.debug(fieldsFor(fields), event),
    info: (event, fields = {}) => logger.info(fieldsFor(fields), event),
    warn: (event, fields = {}) => logger.warn(fieldsFor(fields), event),
    error: (event, fields = {}) => logger.error(fieldsFor(fields), event),
    reopen: () => destinations.forEach((destination) => destination.reopen()),
    flush: async () => {
      await Promise.all(destinations.map(async (destination) => await destination.flush()))
    },
    abandon: () => destinations.forEach((destination) => destination.abandon()),
  }
}

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
}

/** Hides the fields from pino, so that it does not serialise them as JSON when lines are text. */
class TextFields {
  readonly #fields: LogFields

  constructor(fields: LogFields) {
    this.#fields = fields
  }

  static read(object: object): LogFields {
    return #fields in object ? boundFields(object.#fields) : {}
  }
}

/** The stream that pino writes to. Passes its JSON line on, or formats a text line from the event and its fields. */
class LineStream {
  // pino sets these before each write to a stream marked with PINO_METADATA.
  lastLevel = 0
  lastMsg = ''
  lastObj: object = {}

  readonly #format: LogFormat
  readonly #destinations: readonly LogDestination[]
  #captured: string | undefined

  constructor(format: LogFormat, destinations: readonly LogDestination[]) {
    this.#format = format
    this.#destinations = destinations
  }

  write(json: string): void {
    const line =
      this.#format === 'json'
        ? escapeJson(json)
        : formatLine(
            Date.now(),
            LEVEL_NAMES[this.lastLevel] ?? '',
            this.lastMsg,
            TextFields.read(this.lastObj),
          )
    if (this.#captured !== undefined) this.#captured = line
    else for (const destination of this.#destinations) destination.write(line)
  }

  /** Returns the line that `log` produces instead of writing it; '' if its level is not logged. */
  capture(log: () => void): string {
    this.#captured = ''
    log()
    const line = this.#captured
    this.#captured = undefined
    return line
  }
}
