// Notifies systemd: sd_notify(3). Node cannot send a datagram to a unix socket, so systemd's own `systemd-notify` does,
// one at a time, in order. Without NOTIFY_SOCKET nothing is sent.
import { execFile } from 'node:child_process'
import { messageOf } from '@reverse-proxy/shared/error-text'
import type { Log } from '@reverse-proxy/shared/log-fields'

/** A message that systemd does not accept within this time is dropped. */
const SEND_TIMEOUT_MS = 5_000
/** sd_watchdog_enabled(3): half the time allowed. */
const WATCHDOG_PARTS = 2
/** EXTEND_TIMEOUT_USEC: from the time of each message, the start may take this much longer. */
const EXTENSION_MS = 60_000
const EXTENSION_INTERVAL_MS = 20_000
/** Time beyond the drain limit to flush logs, release locks and exit. */
const STOP_MARGIN_MS = 10_000

/** Sends the assignments of one message (`READY=1`, ...) to systemd. */
export type NotifySender = (assignments: readonly string[]) => Promise<void>

export interface ServiceManagerOptions {
  readonly log: Log
  /** Undefined: there is no service manager. */
  readonly send: NotifySender | undefined
  /** WATCHDOG_USEC in milliseconds, if systemd set it for this process. */
  readonly watchdogMs: number | undefined
}

export class ServiceManager {
  readonly #log: Log
  readonly #send: NotifySender | undefined
  readonly #watchdogMs: number | undefined
  #watchdog: NodeJS.Timeout | undefined
  #extension: NodeJS.Timeout | undefined
  #sent: Promise<void> = Promise.resolve()
  #hasFailed = false

  constructor({ log, send, watchdogMs }: ServiceManagerOptions) {
    this.#log = log
    this.#send = send
    this.#watchdogMs = watchdogMs
  }

  /** Certificates are being ordered, so the start takes longer. Repeats the message until the next state. */
  ordering(status: string): void {
    clearInterval(this.#extension)
    const extend = (): void =>
      this.#notify([`STATUS=${oneLine(status)}`, `EXTEND_TIMEOUT_USEC=${EXTENSION_MS * 1000}`])
    extend()
    this.#extension = setInterval(extend, EXTENSION_INTERVAL_MS).unref()
  }

  /** Traffic is served; also the end of `reloading`. */
  ready(status: string): void {
    clearInterval(this.#extension)
    this.#notify(['READY=1', `STATUS=${oneLine(status)}`])
    if (this.#watchdogMs === undefined || this.#watchdog !== undefined) return
    this.#watchdog = setInterval(
      () => this.#notify(['WATCHDOG=1']),
      this.#watchdogMs / WATCHDOG_PARTS,
    ).unref()
  }

  reloading(): void {
    // CLOCK_MONOTONIC: systemd uses it to match READY=1 to this reload.
    this.#notify(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`])
  }

  /** Extends the unit's TimeoutStopSec when the configured drain is longer. */
  stopping(timeoutMs: number): void {
    clearInterval(this.#extension)
    const extension = `EXTEND_TIMEOUT_USEC=${(timeoutMs + STOP_MARGIN_MS) * 1000}`
    this.#notify(['STOPPING=1', 'STATUS=finishing what is in flight', extension])
  }

  /** Resolves when every message has been sent. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#extension)
    clearInterval(this.#watchdog)
    await this.#sent
  }

  #notify(assignments: readonly string[]): void {
    if (this.#send !== undefined) this.#sent = this.#sendAfter(this.#sent, assignments, this.#send)
  }

  async #sendAfter(
    earlier: Promise<void>,
    assignments: readonly string[],
    send: NotifySender,
  ): Promise<void> {
    await earlier
    try {
      await send(assignments)
      this.#hasFailed = false
    } catch (error) {
      // Log it once: the watchdog would repeat it with every message.
      if (!this.#hasFailed) this.#log.warn('SYSTEMD', { error: messageOf(error) })
      this.#hasFailed = true
    }
  }
}

export interface NotifyEnvironment {
  readonly send: NotifySender | undefined
  readonly watchdogMs: number | undefined
}

/** Reads the variables of systemd and removes them from `env`: they are not meant for the workers. */
export function takeNotifyEnvironment(env: NodeJS.ProcessEnv): NotifyEnvironment {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: watchdogUsec, WATCHDOG_PID: watchdogPid } = env
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name]
  const watchdogMs = Number(watchdogUsec) / 1000
  const isOurs = watchdogPid === undefined || watchdogPid === String(process.pid)
  return {
    send: socket === undefined ? undefined : senderFor(socket),
    watchdogMs: isOurs && watchdogMs > 0 ? watchdogMs : undefined,
  }
}

function senderFor(socket: string): NotifySender {
  const env = { ...process.env, NOTIFY_SOCKET: socket }
  return async (assignments) => {
    await new Promise<void>((resolve, reject) => {
      execFile('systemd-notify', [...assignments], { env, timeout: SEND_TIMEOUT_MS }, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }
}

/** A newline would start another assignment. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/gu, ' ')
}
