// Orders the streams that have something to send and a window for it (RFC 9218 10): the most urgent first. Within an
// urgency, incremental streams take turns of one frame. Between two such turns, the oldest stream that is not
// incremental has one.
import { isIncremental, URGENCIES, urgencyOf, type Priority } from './priority.ts'

interface Sender {
  readonly id: number
  readonly priority: Priority
  isWaiting: boolean
}

interface Level<Stream> {
  /** By identifier. */
  readonly whole: Stream[]
  /** In the order of their turns. */
  readonly shared: Stream[]
  isSharedNext: boolean
}

export class Turns<Stream extends Sender> {
  /** By urgency; made when the first stream waits. */
  readonly #levels: (Level<Stream> | undefined)[] = []
  #waiting = 0

  get isEmpty(): boolean {
    return this.#waiting === 0
  }

  /** Adds a stream. Has no effect if it waits already. */
  add(stream: Stream): void {
    if (stream.isWaiting) return
    stream.isWaiting = true
    this.#waiting += 1
    const level = (this.#levels[urgencyOf(stream.priority)] ??= {
      whole: [],
      shared: [],
      isSharedNext: false,
    })
    if (isIncremental(stream.priority)) {
      level.shared.push(stream)
      return
    }
    let at = level.whole.length
    while (at > 0 && level.whole[at - 1]!.id > stream.id) at -= 1
    level.whole.splice(at, 0, stream)
  }

  /** Removes a stream; call it also before its priority changes. Has no effect if it does not wait. */
  remove(stream: Stream): void {
    if (!stream.isWaiting) return
    stream.isWaiting = false
    this.#waiting -= 1
    const level = this.#levels[urgencyOf(stream.priority)]
    const list = isIncremental(stream.priority) ? level?.shared : level?.whole
    const at = list?.indexOf(stream) ?? -1
    if (at !== -1) list?.splice(at, 1)
  }

  /** Removes the stream whose turn it is; add it again if it has more. */
  next(): Stream | undefined {
    if (this.#waiting === 0) return undefined
    for (let urgency = 0; urgency < URGENCIES; urgency++) {
      const level = this.#levels[urgency]
      if (level === undefined) continue
      const { whole, shared } = level
      const isShared = shared.length > 0 && (level.isSharedNext || whole.length === 0)
      const stream = isShared ? shared.shift() : whole.shift()
      if (stream === undefined) continue
      level.isSharedNext = !isShared
      stream.isWaiting = false
      this.#waiting -= 1
      return stream
    }
    return undefined
  }
}
