// A log and counters for requests that nobody sent.
import type { Log } from '@reverse-proxy/shared/log-fields'
import type { EventCounter } from '../observability/metrics.ts'

export const SILENT_LOG: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore }
export const SILENT_METRICS: EventCounter = { count: ignore }

function ignore(): void {}
