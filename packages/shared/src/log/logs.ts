// The log of a process: lines for stdout and, where configured, a file. pino makes those in JSON; a line in text is put
// together here, because one is written for every request.
import { pino } from 'pino'
import type { Logging, LogLevel } from '../config/config.ts'
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

/** Returns a whole line with its newline; '' if `level` is not logged. */
type LineFormat = (level: LogLevel, event: LogEvent, fields: LogFields) => string

const LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']
const NO_FIELDS: LogFields = {}

export function openLogs(
  settings: Logging,
  device: LogDevice = createLogDevice(),
  stdout: LogTarget = stdoutTarget(),
): Logs {
  const destinations: LogDestination[] = []
  const format = settings.format === 'json' ? jsonLines(settings.level) : textLines(settings.level)
  const open = (source: string | LogTarget): void => {
    const destination: LogDestination = new LogDestination({
      device,
      source,
      describeDropped: (count) => format('warn', 'LOG_DROPPED', { count }),
      onFailing: (error) => {
        const destinationName = typeof source === 'string' ? source : 'stdout'
        const line = format('error', 'LOG_FAILED', { destination: destinationName, error })
        for (const other of destinations) if (other !== destination) other.write(line)
      },
    })
    destinations.push(destination)
  }
  open(stdout)
  if (settings.filePath !== undefined) open(settings.filePath)
  const write = (level: LogLevel, event: LogEvent, fields: LogFields): void => {
    const line = format(level, event, fields)
    if (line !== '') for (const destination of destinations) destination.write(line)
  }

  return {
    debug: (event, fields = NO_FIELDS) => write('debug', event, fields),
    info: (event, fields = NO_FIELDS) => write('info', event, fields),
    warn: (event, fields = NO_FIELDS) => write('warn', event, fields),
    error: (event, fields = NO_FIELDS) => write('error', event, fields),
    reopen: () => destinations.forEach((destination) => destination.reopen()),
    flush: async () => {
      await Promise.all(destinations.map(async (destination) => await destination.flush()))
    },
    abandon: () => destinations.forEach((destination) => destination.abandon()),
  }
}

function textLines(lowest: LogLevel): LineFormat {
  const logged = new Map(LEVELS.slice(LEVELS.indexOf(lowest)).map((level) => [level, level.toUpperCase()]))
  return (level, event, fields) => {
    const name = logged.get(level)
    return name === undefined ? '' : formatLine(Date.now(), name, event, boundFields(fields))
  }
}

function jsonLines(lowest: LogLevel): LineFormat {
  let line = ''
  const options = {
    level: lowest,
    base: null,
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  // pino writes within the call.
  const logger = pino(options, { write: (json) => (line = escapeJson(json)) })
  return (level, event, fields) => {
    line = ''
    logger[level](boundFields(fields), event)
    return line
  }
}
