// How a process logs: one pino logger over stdout and, where configured, a file. Pure wiring: the
// process hands in pino and a device, since only a process may open anything.
import type { LogFormat, Logging } from './config/config.ts'
import { LogDestination, type LogDevice, type LogTarget } from './log-destination.ts'
import type { Log, LogEvent, LogFields } from './log-fields.ts'
import { boundFields, escapeJson, formatLine } from './log-fields.ts'

interface PinoLogger {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
  error(fields: object, event: string): void
}

export interface LogTools {
  readonly isoTime: () => string
  createLogger(options: object, stream: { write(line: string): void }): PinoLogger
  readonly device: LogDevice
  readonly stdout: LogTarget
}

export interface Logs extends Log {
  /** After logrotate has moved the file away. */
  reopen(): void
  /** Resolves when every line so far is with the kernel, or its destination fails. */
  flush(): Promise<void>
  /** Lets go of every destination: what is not written by now is lost. */
  abandon(): void
}

const PINO_METADATA = Symbol.for('pino.metadata')

export function openLogs(settings: Logging, tools: LogTools): Logs {
  const destinations: LogDestination[] = []
  const stream = new LineStream(settings.format, destinations)
  const options = {
    level: settings.level,
    base: null,
    messageKey: 'event',
    timestamp: settings.format === 'json' ? tools.isoTime : false,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const logger = tools.createLogger(options, Object.assign(stream, { [PINO_METADATA]: true }))
  const told = settings.format === 'json' ? boundFields : (fields: LogFields) => new TextFields(fields)
  const open = (source: string | LogTarget): void => {
    const destination: LogDestination = new LogDestination({
      device: tools.device,
      source,
      describeDropped: (count) =>
        stream.capture(() => logger.warn(told({ count }), 'LOG_DROPPED' satisfies LogEvent)),
      onFailing: (error) => {
        const others = destinations.filter((other) => other !== destination)
        const destinationName = typeof source === 'string' ? source : 'stdout'
        const line = stream.capture(() =>
          logger.error(told({ destination: destinationName, error }), 'LOG_FAILED' satisfies LogEvent),
        )
        for (const other of others) other.write(line)
      },
    })
    destinations.push(destination)
  }
  open(tools.stdout)
  if (settings.filePath !== undefined) open(settings.filePath)

  return {
    debug: (event, fields = {}) => logger.debug(told(fields), event),
    info: (event, fields = {}) => logger.info(told(fields), event),
    warn: (event, fields = {}) => logger.warn(told(fields), event),
    error: (event, fields = {}) => logger.error(told(fields), event),
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

/** Fields that pino is to leave alone: it would write them as JSON, which nobody is going to read. */
class TextFields {
  readonly #fields: LogFields

  constructor(fields: LogFields) {
    this.#fields = fields
  }

  static read(object: object): LogFields {
    return #fields in object ? boundFields(object.#fields) : {}
  }
}

/** pino's end of a log: passes its JSON line on, or writes the text line from what pino remembers of it. */
class LineStream {
  // pino fills these in before each write to a stream that carries its mark.
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

  /** The line that `log` makes, which goes nowhere by itself; '' if its level is not logged. */
  capture(log: () => void): string {
    this.#captured = ''
    log()
    const line = this.#captured
    this.#captured = undefined
    return line
  }
}
