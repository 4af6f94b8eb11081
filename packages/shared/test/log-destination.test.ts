// A log's destination on a device that does what a test says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { LOG_BUFFER_BYTES, LogDestination, type LogDevice, type LogTarget } from '../src/log/destination.ts'

type Outcome = number | 'all' | 'EAGAIN' | 'ENOSPC' | 'EPIPE' | 'EIO'

/** Completes nothing by itself: a test calls `step` for the write, open or timer that is due. */
class Device implements LogDevice {
  /** What has arrived, by descriptor. */
  readonly written = new Map<number, string>()
  readonly writeSizes: number[] = []
  readonly closed: number[] = []
  readonly delaysMs: number[] = []
  maxWriteBytes = 100
  openFails = false
  readonly #due: (() => void)[] = []
  readonly #timers = new Set<() => void>()
  #outcomes: Outcome[] = []
  #nextFd = 10

  get isIdle(): boolean {
    return this.#due.length === 0
  }

  open(_path: string, done: (error: { code: string } | null, target?: LogTarget) => void): void {
    this.#due.push(() => {
      if (this.openFails) done({ code: 'ENOENT' })
      else done(null, { fd: this.#nextFd++, maxWriteBytes: this.maxWriteBytes })
    })
  }

  write(
    fd: number,
    bytes: Uint8Array,
    done: (error: { code: string } | null, written: number) => void,
  ): void {
    this.writeSizes.push(bytes.length)
    this.#due.push(() => {
      const outcome = this.#outcomes.shift() ?? 'all'
      const count = outcome === 'all' ? bytes.length : outcome
      if (typeof count === 'string') {
        done({ code: count }, 0)
        return
      }
      const taken = Math.min(count, bytes.length)
      this.written.set(fd, this.textOf(fd) + Buffer.from(bytes.subarray(0, taken)).toString('latin1'))
      done(null, taken)
    })
  }

  close(fd: number): void {
    this.closed.push(fd)
  }

  encode(text: string): Uint8Array {
    return Buffer.from(text, 'latin1')
  }

  after(delayMs: number, callback: () => void): () => void {
    this.delaysMs.push(delayMs)
    this.#timers.add(callback)
    return () => void this.#timers.delete(callback)
  }

  textOf(fd: number): string {
    return this.written.get(fd) ?? ''
  }

  /** What becomes of the next writes; after them all goes well. */
  script(...outcomes: Outcome[]): void {
    this.#outcomes = outcomes
  }

  step(): void {
    this.#due.shift()?.()
  }

  /** What has been asked last, before all else. */
  stepLast(): void {
    this.#due.pop()?.()
  }

  elapse(): void {
    for (const callback of this.#timers) {
      this.#timers.delete(callback)
      callback()
    }
  }

  /** Until nothing is under way and no timer runs, or for `rounds` timers. */
  run(rounds = 1000): void {
    for (let round = 0; round < rounds; round++) {
      while (this.#due.length > 0) this.step()
      if (this.#timers.size === 0) return
      this.elapse()
    }
  }
}

interface Opened {
  readonly device: Device
  readonly destination: LogDestination
  readonly failures: string[]
}

function open(source: string | LogTarget = '/log', device = new Device()): Opened {
  const failures: string[] = []
  const destination = new LogDestination({
    device,
    source,
    describeDropped: (count) => `dropped ${count}\n`,
    onFailing: (code) => failures.push(code),
  })
  return { device, destination, failures }
}

test('lines that come while a write is under way share the next one, whole, within its bound', () => {
  const { device, destination } = open()
  device.run()
  for (let i = 0; i < 100; i++) destination.write(`line ${i} ${'x'.repeat(20)}\n`)
  device.run()
  const text = Array.from({ length: 100 }, (_, i) => `line ${i} ${'x'.repeat(20)}\n`).join('')
  assert.equal(device.textOf(10), text)
  assert.ok(device.writeSizes.every((size) => size <= 100))
  destination.write('a\n')
  for (const line of ['b\n', 'c\n', `${'long '.repeat(50)}\n`, 'd\n']) destination.write(line)
  device.writeSizes.length = 0
  device.run()
  assert.deepEqual(device.writeSizes, [4, 251, 2])
})

test('a line is written at once; those soon after it together, or as soon as they fill a write', async () => {
  const { device, destination } = open({ fd: 1, maxWriteBytes: 100 })
  destination.write('first\n')
  device.step()
  assert.equal(device.textOf(1), 'first\n')
  for (const line of ['a\n', 'b\n', 'c\n']) destination.write(line)
  assert.ok(device.isIdle)
  device.elapse()
  device.step()
  assert.equal(device.textOf(1), 'first\na\nb\nc\n')
  for (let i = 0; i < 60; i++) destination.write('12\n')
  device.step()
  assert.deepEqual(device.writeSizes, [6, 6, 99])
  const flushed = destination.flush()
  device.step()
  await flushed
  assert.deepEqual(device.writeSizes, [6, 6, 99, 81])
})

test('a destination that is busy is asked again soon, and less and less often', () => {
  const { device, destination, failures } = open({ fd: 1, maxWriteBytes: 4096 })
  device.script(...Array.from({ length: 8 }, () => 'EAGAIN' as const))
  destination.write('a\n')
  destination.write('b\n')
  device.run()
  assert.equal(device.textOf(1), 'a\nb\n')
  assert.deepEqual(device.delaysMs.slice(0, 8), [5, 10, 20, 40, 80, 100, 100, 100])
  assert.deepEqual(failures, [])
})

test('full, then free again: every line is there, the one that was cut once more and whole', () => {
  const { device, destination, failures } = open()
  destination.write('one\n')
  device.run()
  device.script(6, 'ENOSPC', 'ENOSPC', 2, 'ENOSPC')
  destination.write('two\n')
  destination.write('three\nfour\n')
  device.run()
  // `two` was written alone; of the second write six bytes, then, a newline first, two more.
  const text = device.textOf(10)
  assert.deepEqual(
    text.split('\n').filter((line) => ['one', 'two', 'three', 'four'].includes(line)),
    ['one', 'two', 'three', 'four'],
  )
  assert.deepEqual(failures, ['ENOSPC', 'ENOSPC'])
  assert.deepEqual(device.closed, [])
})

test('beyond 8 MiB the newest lines are dropped and counted; the count stands where they are missing', () => {
  const { device, destination } = open({ fd: 1, maxWriteBytes: 65_536 })
  const line = `${'x'.repeat(1023)}\n`
  const count = 10_000
  device.script('ENOSPC')
  for (let i = 0; i < count; i++) destination.write(line)
  device.step()
  destination.write('too late\n')
  device.run()
  destination.write('after\n')
  device.run()
  const lines = device.textOf(1).split('\n')
  const kept = lines.filter((text) => text.startsWith('x')).length
  assert.equal(kept, LOG_BUFFER_BYTES / 1024)
  assert.deepEqual(
    lines.filter((text) => !text.startsWith('x')),
    [`dropped ${count - kept + 1}`, 'after', ''],
  )
})

test('one that cannot be opened holds nobody up, and gets what is held when it can be', async () => {
  const device = new Device()
  device.openFails = true
  const { destination, failures } = open('/log', device)
  destination.write('a\n')
  device.run(3)
  await destination.flush()
  assert.deepEqual(failures, ['ENOENT'])
  device.openFails = false
  device.run()
  assert.equal(device.textOf(10), 'a\n')
  destination.write('b\n')
  device.run()
  await destination.flush()
  assert.equal(device.textOf(10), 'a\nb\n')
})

test('reopened while a write is under way: that one ends where it began, the rest goes to the new file', async () => {
  const { device, destination, failures } = open()
  device.run()
  destination.write('old\n')
  destination.reopen()
  destination.reopen()
  destination.write('new\n')
  device.run()
  await destination.flush()
  assert.equal(device.textOf(10), 'old\n')
  assert.equal(device.textOf(11), 'new\n')
  assert.deepEqual(device.closed, [10])
  device.openFails = true
  destination.reopen()
  destination.write('still\n')
  device.run(2)
  assert.equal(device.textOf(11), 'new\nstill\n')
  assert.deepEqual(failures, ['ENOENT'])
})

test('reopened several times while a write is under way: each file is closed once', () => {
  const { device, destination } = open()
  device.run()
  destination.write('old\n')
  for (let i = 0; i < 3; i++) {
    destination.reopen()
    device.stepLast()
  }
  assert.deepEqual(device.closed, [11, 12])
  destination.abandon()
  device.run()
  assert.deepEqual(device.closed, [11, 12, 10, 13])
})

test('a reader that is gone: the pipe is opened anew, and a failure is said once', () => {
  const { device, destination, failures } = open()
  device.script('EPIPE', 'EPIPE', 'EIO')
  destination.write('a\n')
  device.run()
  assert.equal(device.textOf(13), 'a\n')
  assert.deepEqual(device.closed, [10, 11, 12])
  assert.deepEqual(failures, ['EPIPE'])
})

test('a flush waits for what is under way, and not for what fails or has been let go', async () => {
  const { device, destination } = open()
  destination.write('a\n')
  let flushed = false
  const flush = destination.flush().then(() => (flushed = true))
  device.step()
  await Promise.resolve()
  assert.equal(flushed, false)
  device.run()
  await flush
  device.script('ENOSPC')
  destination.write('b\n')
  device.step()
  await destination.flush()
  destination.abandon()
  destination.abandon()
  destination.write('c\n')
  destination.reopen()
  await destination.flush()
  device.run()
  assert.equal(device.textOf(10), 'a\n')
  assert.deepEqual(device.closed, [10])
})

test('let go while it is opened or written to: closed when that is over', () => {
  const opening = open()
  opening.destination.abandon()
  opening.device.run()
  assert.deepEqual(opening.device.closed, [10])
  const writing = open()
  writing.device.run()
  writing.destination.write('a\n')
  writing.destination.abandon()
  writing.device.run()
  assert.deepEqual(writing.device.closed, [10])
})

test('whatever becomes of the writes, every line arrives whole, once, and in order', () => {
  const outcome = fc.oneof(fc.nat({ max: 30 }), fc.constantFrom('EAGAIN', 'ENOSPC', 'EPIPE', 'all' as const))
  fc.assert(
    fc.property(
      fc.array(outcome, { maxLength: 30 }),
      fc.array(fc.nat({ max: 40 }), { maxLength: 30 }),
      (outcomes, lengths) => {
        const { device, destination } = open()
        device.script(...outcomes)
        const lines = lengths.map((length, i) => `<${i}${'x'.repeat(length)}>`)
        for (const line of lines) {
          destination.write(`${line}\n`)
          if (line.length % 3 === 0) device.step()
        }
        device.run()
        const arrived = [...device.written.keys()].toSorted((a, b) => a - b).map((fd) => device.textOf(fd))
        const whole = arrived
          .join('\n')
          .split('\n')
          .filter((line) => lines.includes(line))
        assert.deepEqual(whole, lines)
      },
    ),
  )
})
