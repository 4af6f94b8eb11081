// One destination of the log: a bounded queue of whole lines and the current write. It never blocks and never throws.
// Performs no input or output itself: the process provides the device.

export interface LogTarget {
  readonly fd: number
  /** Maximum size of one write that no write of another process can interrupt. */
  readonly maxWriteBytes: number
}

export interface LogDeviceError {
  readonly code?: string | undefined
}

/** Operations on descriptors. Callbacks are always asynchronous. */
export interface LogDevice {
  open(path: string, done: (error: LogDeviceError | null, target?: LogTarget) => void): void
  /** Appends; may write only a part. Never blocks: the error is EAGAIN if there is no room. */
  write(fd: number, bytes: Uint8Array, done: (error: LogDeviceError | null, written: number) => void): void
  close(fd: number): void
  /** One byte per character: lines are ASCII. */
  encode(text: string): Uint8Array
  /** @returns a function that cancels the call */
  after(delayMs: number, callback: () => void): () => void
}

export interface LogDestinationOptions {
  readonly device: LogDevice
  /** A path, or an open target. */
  readonly source: string | LogTarget
  /** Returns the line that reports how many lines were dropped here. */
  readonly describeDropped: (count: number) => string
  /** Called when the destination begins to fail; not again until a write has succeeded. */
  readonly onFailing: (code: string) => void
}

/** Bytes that a process buffers for one destination before it drops the newest lines. */
export const LOG_BUFFER_BYTES = 8 * 1024 * 1024
/** Once lines are dropped, more are accepted only below this level: this makes few gaps instead of many. */
const ROOM_AGAIN_BYTES = LOG_BUFFER_BYTES / 2
/** Write size that is safe for every target, until the target is open. */
const UNKNOWN_WRITE_BYTES = 4096
/**
 * After a write, lines are gathered for this long, or until they fill a write. Otherwise a busy worker would occupy a
 * thread of the pool for every line or two.
 */
const GATHER_MS = 10
const MIN_BUSY_DELAY_MS = 5
const MAX_BUSY_DELAY_MS = 100
const FAILURE_DELAY_MS = 1_000
/** The disk is full: the file stays open, and writes succeed when there is room. */
const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT'])
const NEWLINE = 10

export class LogDestination {
  readonly #options: LogDestinationOptions
  readonly #flushes: (() => void)[] = []
  #target: LogTarget | undefined
  #isOpening = false
  /** Lines that arrived during a write, grouped for the next ones. */
  readonly #batches: string[] = []
  /** The bytes of the current write, kept when it fails. */
  #current: Uint8Array | undefined
  /** Descriptor of the current write. */
  #writingFd: number | undefined
  #heldBytes = 0
  #dropped = 0
  #isOpenFailing = false
  #isWriteFailing = false
  #busyDelayMs = MIN_BUSY_DELAY_MS
  #cancelRetry: (() => void) | undefined
  #cancelReopen: (() => void) | undefined
  #cancelGathering: (() => void) | undefined
  #isAbandoned = false

  constructor(options: LogDestinationOptions) {
    this.#options = options
    if (typeof options.source === 'string') this.reopen()
    else this.#target = options.source
  }

  /** @param line complete with its newline; ASCII */
  write(line: string): void {
    if (this.#isAbandoned) return
    if (this.#dropped > 0 || this.#heldBytes + line.length > LOG_BUFFER_BYTES) this.#dropped += 1
    else this.#enqueue(line)
    this.#pump()
  }

  /** Opens the path again; unwritten lines go to the new file. No effect without a path. */
  reopen(): void {
    const { device, source } = this.#options
    if (typeof source !== 'string' || this.#isOpening || this.#isAbandoned) return
    this.#cancelReopen?.()
    this.#cancelReopen = undefined
    this.#isOpening = true
    this.#endGathering()
    device.open(source, (error, target) => {
      this.#isOpening = false
      if (target === undefined) this.#onOpenFailed(error?.code)
      else this.#use(target)
    })
  }

  /** Resolves when the kernel has every line so far, or when the destination fails. */
  async flush(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#flushes.push(resolve)
      this.#endGathering()
      this.#pump()
      this.#settleFlushes()
    })
  }

  /** Drops unwritten lines. Idempotent. */
  abandon(): void {
    if (this.#isAbandoned) return
    this.#isAbandoned = true
    this.#cancelRetry?.()
    this.#cancelReopen?.()
    this.#endGathering()
    this.#settleFlushes()
    if (this.#writingFd === undefined) this.#close()
  }

  #enqueue(line: string): void {
    this.#heldBytes += line.length
    const last = this.#batches.length - 1
    const maxBytes = this.#target?.maxWriteBytes ?? UNKNOWN_WRITE_BYTES
    if (last >= 0 && this.#batches[last]!.length + line.length <= maxBytes) this.#batches[last] += line
    else this.#batches.push(line)
  }

  #pump(): void {
    // Lines that arrive after `reopen` belong in the new file.
    if (this.#target === undefined || this.#isOpening) return
    if (this.#writingFd !== undefined || this.#cancelRetry !== undefined) return
    if (this.#cancelGathering !== undefined && this.#batches.length <= 1) return
    const batch = this.#current === undefined ? this.#batches.shift() : undefined
    if (batch !== undefined) this.#current = this.#options.device.encode(batch)
    if (this.#current === undefined) {
      this.#settleFlushes()
      return
    }
    const { fd } = this.#target
    this.#writingFd = fd
    this.#options.device.write(fd, this.#current, (error, written) => this.#onWritten(error, written, fd))
  }

  #onWritten(error: LogDeviceError | null, written: number, fd: number): void {
    this.#writingFd = undefined
    // The destination has been reopened meanwhile.
    if (this.#target?.fd !== fd) this.#options.device.close(fd)
    if (this.#isAbandoned) {
      this.#close()
      return
    }
    if (error === null) this.#onProgress(written)
    else if (error.code === 'EAGAIN') this.#retryIn(this.#nextBusyDelayMs(), () => this.#pump())
    else this.#onWriteFailed(error.code)
  }

  #onProgress(written: number): void {
    this.#isWriteFailing = false
    this.#busyDelayMs = MIN_BUSY_DELAY_MS
    const bytes = this.#current ?? new Uint8Array()
    const rest = afterShortWrite(bytes, written)
    this.#heldBytes += rest.length - bytes.length
    this.#current = rest.length === 0 ? undefined : rest
    if (this.#dropped > 0 && this.#heldBytes <= ROOM_AGAIN_BYTES) {
      const count = this.#dropped
      this.#dropped = 0
      this.#enqueue(this.#options.describeDropped(count))
    }
    if (this.#current === undefined && this.#flushes.length === 0) this.#gather()
    this.#pump()
  }

  #gather(): void {
    this.#cancelGathering ??= this.#options.device.after(GATHER_MS, () => {
      this.#cancelGathering = undefined
      this.#pump()
    })
  }

  #endGathering(): void {
    this.#cancelGathering?.()
    this.#cancelGathering = undefined
  }

  #use(target: LogTarget): void {
    const before = this.#target
    this.#target = target
    this.#isOpenFailing = false
    if (this.#isAbandoned) this.#close()
    // A descriptor with a pending write is closed after the write.
    else if (before !== undefined && before.fd !== this.#writingFd) this.#options.device.close(before.fd)
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    this.#pump()
  }

  /** Writes continue to the file that is still open, if any. */
  #onOpenFailed(code = 'unknown'): void {
    if (this.#isAbandoned) return
    this.#cancelReopen = this.#options.device.after(FAILURE_DELAY_MS, () => this.reopen())
    const wasFailing = this.#isOpenFailing
    this.#isOpenFailing = true
    this.#pump()
    this.#settleFlushes()
    if (!wasFailing) this.#options.onFailing(code)
  }

  #onWriteFailed(code = 'unknown'): void {
    const isGone = typeof this.#options.source === 'string' && !FULL.has(code)
    this.#retryIn(FAILURE_DELAY_MS, isGone ? () => this.reopen() : () => this.#pump())
    const wasFailing = this.#isWriteFailing
    this.#isWriteFailing = true
    this.#settleFlushes()
    if (!wasFailing) this.#options.onFailing(code)
  }

  #nextBusyDelayMs(): number {
    const delayMs = this.#busyDelayMs
    this.#busyDelayMs = Math.min(2 * delayMs, MAX_BUSY_DELAY_MS)
    return delayMs
  }

  #retryIn(delayMs: number, retry: () => void): void {
    this.#cancelRetry = this.#options.device.after(delayMs, () => {
      this.#cancelRetry = undefined
      retry()
    })
  }

  #settleFlushes(): void {
    const isIdle = this.#current === undefined && this.#batches.length === 0 && !this.#isOpening
    const isFailing = this.#isWriteFailing || (this.#isOpenFailing && this.#target === undefined)
    if (!isIdle && !isFailing && !this.#isAbandoned) return
    for (const resolve of this.#flushes.splice(0)) resolve()
  }

  #close(): void {
    if (typeof this.#options.source === 'string' && this.#target !== undefined) {
      this.#options.device.close(this.#target.fd)
    }
    this.#target = undefined
  }
}

/**
 * The bytes left after a short write. A line that was cut is written again as a whole on a new line: another process
 * may have written a line after the first half of ours.
 */
function afterShortWrite(bytes: Uint8Array, written: number): Uint8Array {
  const isBetweenLines = written === 0 || bytes[written - 1] === NEWLINE
  // Only the newline is missing: write it late rather than the whole line twice.
  if (isBetweenLines || written === bytes.length || bytes[written] === NEWLINE) return bytes.subarray(written)
  const lineStart = bytes.lastIndexOf(NEWLINE, written - 1) + 1
  const rest = new Uint8Array(1 + bytes.length - lineStart)
  rest[0] = NEWLINE
  rest.set(bytes.subarray(lineStart), 1)
  return rest
}
