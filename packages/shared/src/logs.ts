// How a process logs: one pino logger over stdout and, where configured, a file. Pure wiring: the
// process hands in pino and its destinations, since only a process may open anything.
import type { LogFormat, Logging } from './config/config.ts'
import type { Log, LogEvent, LogFields } from './log-fields.ts'
import { formatLine } from './log-fields.ts'

/** SPEC 9: what a process may hold back for one destination before the newest lines are dropped. */
const BUFFER_BYTES = 8 * 1024 * 1024

/** The part of sonic-boom (pino.destination) that is used. */
export interface LogDestination {
  write(line: string): unknown
  flush(done: (error?: Error | null) => void): void
  reopen(): void
  destroy(): void
  on(event: 'drop' | 'drain' | 'error', listener: () => void): unknown
}

export interface DestinationOptions {
  readonly dest: number | string
  readonly sync: false
  readonly append: true
  readonly mkdir: false
  readonly minLength: number
  readonly maxLength: number
}

interface PinoLogger {
  debug(fields: LogFields, event: string): void
  info(fields: LogFields, event: string): void
  warn(fields: LogFields, event: string): void
  error(fields: LogFields, event: string): void
}

export interface LogTools {
  readonly isoTime: () => string
  createLogger(options: object, stream: { write(line: string): void }): PinoLogger
  openDestination(options: DestinationOptions): LogDestination
}

export interface Logs extends Log {
  /** After logrotate has moved the file away. */
  reopen(): void
  /** Resolves when every line so far is with the kernel, or its destination has failed. */
  flush(): Promise<void>
  /**
   * Lets go of every destination: what is not written by now is lost. To be called before the process
   * exits, where pino would otherwise try for ever to write to a closed terminal or a full pipe.
   */
  abandon(): void
}

const STDOUT = 1
const PINO_METADATA = Symbol.for('pino.metadata')

export function openLogs(settings: Logging, tools: LogTools): Logs {
  const destinations: LogDestination[] = []
  const open = (dest: number | string): void => {
    const destination = tools.openDestination({
      dest,
      sync: false,
      append: true,
      mkdir: false,
      // At 0, flush() does not wait for the write that is under way.
      minLength: 1,
      maxLength: BUFFER_BYTES,
    })
    let dropped = 0
    destination.on('drop', () => dropped++)
    destination.on('drain', () => {
      if (dropped === 0) return
      const count = dropped
      dropped = 0
      logger.warn({ count }, 'LOG_DROPPED' satisfies LogEvent)
    })
    // A closed terminal, a broken pipe or a full disk ends neither the process nor the other destination.
    destination.on('error', () => {})
    destinations.push(destination)
  }

  const stream = new LineStream(settings.format, (line) => {
    for (const destination of destinations) destination.write(line)
  })
  const options = {
    level: settings.level,
    base: null,
    messageKey: 'event',
    timestamp: tools.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const logger = tools.createLogger(options, Object.assign(stream, { [PINO_METADATA]: true }))
  open(STDOUT)
  if (settings.filePath !== undefined) open(settings.filePath)

  return {
    debug: (event, fields = {}) => logger.debug(fields, event),
    info: (event, fields = {}) => logger.info(fields, event),
    warn: (event, fields = {}) => logger.warn(fields, event),
    error: (event, fields = {}) => logger.error(fields, event),
    reopen: () => destinations.slice(1).forEach((file) => file.reopen()),
    flush: async () => {
      const flushed = destinations.map(
        (destination) => new Promise<void>((resolve) => destination.flush(() => resolve())),
      )
      await Promise.all(flushed)
    },
    abandon: () => destinations.forEach((destination) => destination.destroy()),
  }
}

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
}

/** pino's end of a log: passes its JSON line on, or writes the text line from what pino remembers of it. */
class LineStream {
  // pino fills these in before each write to a stream that carries its mark.
  lastLevel = 0
  lastMsg = ''
  lastObj: LogFields = {}

  readonly #format: LogFormat
  readonly #emit: (line: string) => void

  constructor(format: LogFormat, emit: (line: string) => void) {
    this.#format = format
    this.#emit = emit
  }

  write(json: string): void {
    if (this.#format === 'json') this.#emit(json)
    else this.#emit(formatLine(Date.now(), LEVEL_NAMES[this.lastLevel] ?? '', this.lastMsg, this.lastObj))
  }
}
