// Deadlines for HTTP/2, where the runtime has none, and a guard against floods of frames that
// cost something and ask for nothing. Looks at every session once a second; sees neither streams nor bytes.
//
// Rapid reset, streams beyond the limit, malformed frames, empty DATA frames, long runs of CONTINUATION and
// acknowledgements that the client does not read are the runtime's: it counts them and ends the session.
import { constants, type ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { Limits } from '@reverse-proxy/shared/config/config'
import { runtimeHeaderBytes } from '../node/server-options.ts'
import { destroyAfter, LINGER_MS } from '../connection/lingering-close.ts'

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = constants

type SessionLimits = Pick<Limits, 'headerBytes' | 'keepAliveTimeoutMs' | 'requestHeaderTimeoutMs'>

/** The requests on a session: see client-connection.ts. */
export interface SessionRequests {
  /** Below TLS. */
  readonly socket: Socket
  readonly hasOpenExchange: boolean
  readonly requests: number
  readonly lastStreamId: number
  lastWroteMs: number
  readonly openBodies: number
  readonly bodies: number
}

/** Ends a session; its code is for the log. */
class SessionFault extends Error {
  readonly code: 'HTTP2_FLOOD' | 'HTTP2_HEADER_TIMEOUT'

  constructor(code: SessionFault['code']) {
    super(code)
    this.code = code
  }
}

/** How long a session that has been ended may take to say so: its client may have stopped reading. */
const FAREWELL_MS = 1_000
/** SETTINGS and PING in a second; gRPC, which measures with them, stays below 100. */
const CONTROL_FRAMES_PER_SECOND = 1_000
/** Neither heads nor bodies nor called for by what we have sent: WINDOW_UPDATE, PRIORITY, frames of no known type. */
const IDLE_BYTES_PER_SECOND = 1024 * 1024

interface Watched {
  readonly requests: SessionRequests
  readonly startedMs: number
  /** The client's SETTINGS have come. */
  isGreeted: boolean
  idleSinceMs: number
  /** Since when a head is under way. */
  headSinceMs: number | undefined
  controlFrames: number
  requestsSeen: number
  bodiesSeen: number
  hadBodies: boolean
  bytesRead: number
  bytesWritten: number
  isEnding: boolean
}

export class Http2Sessions {
  readonly #limits: () => SessionLimits
  readonly #watched = new Map<ServerHttp2Session, Watched>()
  readonly #nowMs: () => number
  #sweptMs: number

  /** @param nowMs monotonic */
  constructor(limits: () => SessionLimits, nowMs: () => number) {
    this.#limits = limits
    this.#nowMs = nowMs
    this.#sweptMs = nowMs()
  }

  watch(session: ServerHttp2Session, requests: SessionRequests): void {
    const nowMs = this.#nowMs()
    const watched: Watched = {
      requests,
      startedMs: nowMs,
      isGreeted: false,
      idleSinceMs: nowMs,
      headSinceMs: undefined,
      controlFrames: 0,
      requestsSeen: 0,
      bodiesSeen: 0,
      hadBodies: false,
      bytesRead: 0,
      bytesWritten: 0,
      isEnding: false,
    }
    this.#watched.set(session, watched)
    session.once('close', () => this.#watched.delete(session))
    session.on('remoteSettings', () => {
      watched.isGreeted = true
      watched.controlFrames += 1
    })
    session.on('ping', () => (watched.controlFrames += 1))
  }

  sweep(): void {
    const nowMs = this.#nowMs()
    const elapsedMs = nowMs - this.#sweptMs
    this.#sweptMs = nowMs
    for (const [session, watched] of this.#watched) {
      if (session.destroyed) endSoon(watched)
      else this.#look(session, watched, nowMs, elapsedMs)
    }
  }

  #look(session: ServerHttp2Session, watched: Watched, nowMs: number, elapsedMs: number): void {
    const limits = this.#limits()
    const { bytesRead, bytesWritten } = session.socket
    const unexplained = unexplainedBytes(watched, bytesRead, bytesWritten, runtimeHeaderBytes(limits))
    if (bytesRead !== watched.bytesRead) watched.headSinceMs = headSince(session, watched, nowMs)
    const isBusy = watched.requests.hasOpenExchange || watched.requestsSeen !== watched.requests.requests
    if (isBusy) watched.idleSinceMs = nowMs
    if (bytesWritten !== watched.bytesWritten) watched.requests.lastWroteMs = nowMs
    const { controlFrames } = watched
    watched.controlFrames = 0
    watched.requestsSeen = watched.requests.requests
    watched.bytesRead = bytesRead
    watched.bytesWritten = bytesWritten

    const seconds = Math.max(1, elapsedMs / 1000)
    const headSinceMs = watched.isGreeted ? watched.headSinceMs : watched.startedMs
    if (
      controlFrames > seconds * CONTROL_FRAMES_PER_SECOND ||
      unexplained > seconds * IDLE_BYTES_PER_SECOND
    ) {
      session.destroy(new SessionFault('HTTP2_FLOOD'), NGHTTP2_ENHANCE_YOUR_CALM)
    } else if (session.closed) {
      // It ends with its last stream. With some clients that go, the runtime does not come to that.
      if (nowMs - watched.idleSinceMs < limits.keepAliveTimeoutMs) return
      session.destroy()
    } else if (headSinceMs !== undefined && nowMs - headSinceMs >= limits.requestHeaderTimeoutMs) {
      // Nothing more can come on a connection within a head; what is owed can still be given.
      if (isBusy) {
        session.close()
        return
      }
      session.destroy(new SessionFault('HTTP2_HEADER_TIMEOUT'), NGHTTP2_NO_ERROR)
    } else if (nowMs - watched.idleSinceMs >= limits.keepAliveTimeoutMs) {
      session.close()
    } else {
      return
    }
    destroyAfter(watched.requests.socket, FAREWELL_MS)
  }
}

/** The runtime waits for what it was writing, the end of a response perhaps, even if nobody is going to read that. */
function endSoon(watched: Watched): void {
  if (watched.isEnding) return
  watched.isEnding = true
  destroyAfter(watched.requests.socket, LINGER_MS)
}

/** A head that has begun raises the session's last stream id; we hear of its stream when it is complete. */
function headSince(session: ServerHttp2Session, watched: Watched, nowMs: number): number | undefined {
  const begun = session.state.lastProcStreamID ?? 0
  return begun > watched.requests.lastStreamId ? (watched.headSinceMs ?? nowMs) : undefined
}

/** Bytes received since the last look that heads, responses and acknowledgements do not explain; 0 while a body is open. */
function unexplainedBytes(
  watched: Watched,
  bytesRead: number,
  bytesWritten: number,
  headBytes: number,
): number {
  const { openBodies, bodies, requests } = watched.requests
  const hasBodies = openBodies > 0 || bodies !== watched.bodiesSeen
  // Data in flight when a body is answered early arrives after it.
  const isExempt = hasBodies || watched.hadBodies
  watched.hadBodies = hasBodies
  watched.bodiesSeen = bodies
  if (isExempt) return 0
  const heads = (requests - watched.requestsSeen) * headBytes
  return bytesRead - watched.bytesRead - heads - (bytesWritten - watched.bytesWritten)
}
