// A worker's log: stdout and the log file. The wiring is shared/logs.ts.
import fs from 'node:fs'
import type { Logging } from '@reverse-proxy/shared/config/config'
import { createLogDevice, LOG_FILE_MODE, logFileFlags, logTarget } from '@reverse-proxy/shared/log-device'
import type { Logs } from '@reverse-proxy/shared/logs'
import { openLogs } from '@reverse-proxy/shared/logs'
import { pino } from 'pino'

const STDOUT = 1

export function openWorkerLogs(settings: Logging): Logs {
  return openLogs(settings, {
    isoTime: pino.stdTimeFunctions.isoTime,
    createLogger: (options, stream) => pino(options, stream),
    // The supervisor has seen to it that a write to stdout waits for nobody, and its workers share that.
    stdout: logTarget(fs, STDOUT),
    device: createLogDevice({
      fs,
      open: (path, done) => fs.open(path, logFileFlags(fs.constants), LOG_FILE_MODE, done),
      encode: (text) => Buffer.from(text, 'latin1'),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs).unref()
        return () => clearTimeout(timer)
      },
    }),
  })
}
