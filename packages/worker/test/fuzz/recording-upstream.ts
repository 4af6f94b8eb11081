// An upstream that reads without tolerance, answers every complete request with the id it was asked
// for, and remembers what it got and what it should not have got.
import type { TestContext } from 'node:test'
import {
  startUpstream,
  type RawUpstream,
  type UpstreamConnection,
} from '../../../../test/harness/raw-upstream.ts'
import { idOf } from './fate.ts'
import { readStrict, type StrictRequest } from './strict-requests.ts'

export interface RecordingUpstream {
  readonly upstream: RawUpstream
  /** What has come for each id. */
  readonly arrived: Map<number, StrictRequest[]>
  /** Bytes that are no request, and requests that nobody has made. */
  readonly violations: string[]
}

export async function startRecordingUpstream(t: TestContext): Promise<RecordingUpstream> {
  const arrived = new Map<number, StrictRequest[]>()
  const violations: string[] = []
  const broken = new WeakSet<UpstreamConnection>()

  const onRequest = (request: StrictRequest): string => {
    const id = idOf(request.path)
    if (id === undefined) {
      violations.push(`a request that nobody made: ${request.method} ${request.path}`)
      return answerTo(request, 0)
    }
    arrived.set(id, [...(arrived.get(id) ?? []), request])
    return answerTo(request, id)
  }
  const upstream = await startUpstream(t, (connection) => {
    if (broken.has(connection)) return
    try {
      for (let request = readStrict(connection.received); request !== undefined;) {
        connection.received = connection.received.slice(request.bytes)
        connection.socket.write(onRequest(request), 'latin1')
        request = readStrict(connection.received)
      }
    } catch (error) {
      broken.add(connection)
      violations.push(String(error))
      connection.socket.destroy()
    }
  })
  return { upstream, arrived, violations }
}

/** In one of four framings; the id is in a field, and in the body where there can be one. */
function answerTo({ method }: StrictRequest, id: number): string {
  const field = `X-Id: ${id}\r\n`
  const body = String(id)
  if (method === 'HEAD') return `HTTP/1.1 200 OK\r\n${field}Content-Length: 0\r\n\r\n`
  const plain = `HTTP/1.1 200 OK\r\n${field}Content-Length: ${body.length}\r\n\r\n${body}`
  switch (id % 4) {
    case 0:
      return `HTTP/1.1 200 OK\r\n${field}Transfer-Encoding: chunked\r\n\r\n${body.length}\r\n${body}\r\n0\r\nX-T: 1\r\n\r\n`
    case 1:
      return `HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n${plain}`
    case 2:
      return `HTTP/1.1 204 No Content\r\n${field}\r\n`
    default:
      return plain
  }
}
