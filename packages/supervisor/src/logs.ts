// The supervisor's log: stdout and the log file. The wiring is shared/logs.ts.
import type { Logging } from '@reverse-proxy/shared/config/config'
import type { Logs } from '@reverse-proxy/shared/logs'
import { openLogs } from '@reverse-proxy/shared/logs'
import { pino } from 'pino'

export function openSupervisorLogs(settings: Logging): Logs {
  return openLogs(settings, {
    isoTime: pino.stdTimeFunctions.isoTime,
    createLogger: (options, stream) => pino(options, stream),
    openDestination: (options) => pino.destination(options),
  })
}
