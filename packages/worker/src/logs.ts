// A worker's log: stdout and the log file. The wiring is shared/logs.ts.
import fs from 'node:fs'
import type { Logging } from '@reverse-proxy/shared/config/config'
import {
  createLogDevice,
  LOG_FILE_MODE,
  logFileFlags,
  logTarget,
  STDOUT_FD,
} from '@reverse-proxy/shared/log-device'
import type { Logs } from '@reverse-proxy/shared/logs'
import { openLogs } from '@reverse-proxy/shared/logs'
import { pino } from 'pino'

export function openWorkerLogs(settings: Logging): Logs {
  return openLogs(settings, {
    isoTime: pino.stdTimeFunctions.isoTime,
    createLogger: (options, stream) => pino(options, stream),
    stdout: logTarget(fs, STDOUT_FD),
    device: createLogDevice({
      fs,
      stdout: process.stdout,
      open: (path, done) => fs.open(path, logFileFlags(fs.constants), LOG_FILE_MODE, done),
      encode: (text) => Buffer.from(text, 'latin1'),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs).unref()
        return () => clearTimeout(timer)
      },
    }),
  })
}
