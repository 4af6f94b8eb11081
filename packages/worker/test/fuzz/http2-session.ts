// One connection over HTTP/2, held and judged.
import type { TestContext } from 'node:test'
import { connectRawHttp2, type StreamOutcome } from '../support/http2/raw-client.ts'
import type { Http2Request } from './http2-grammar.ts'
import { judgeArrived, judgeFate } from './judge.ts'
import type { RecordingUpstream } from './recording-upstream.ts'

const PATIENCE_MS = 30_000

/** How each stream ended; undefined: not in time. */
export async function holdSession(
  t: TestContext,
  port: number,
  requests: readonly Http2Request[],
): Promise<ReadonlyMap<number, StreamOutcome> | undefined> {
  const client = await connectRawHttp2(t, port)
  for (const { frames } of requests) client.send(...frames)
  const { promise: impatience, resolve } = Promise.withResolvers<undefined>()
  const giveUp = setTimeout(() => resolve(undefined), PATIENCE_MS)
  const outcomes = Promise.all(
    requests.map(async ({ streamId }) => [streamId, await client.outcome(streamId)] as const),
  )
  const ended = await Promise.race([outcomes, impatience])
  clearTimeout(giveUp)
  client.socket.destroy()
  return ended === undefined ? undefined : new Map(ended)
}

/** @returns what must not have happened, each with the request it happened to */
export function judgeSession(
  requests: readonly Http2Request[],
  outcomes: ReadonlyMap<number, StreamOutcome>,
  { arrived }: Pick<RecordingUpstream, 'arrived'>,
): string[] {
  // Streams do not depend on each other, unless one of them ends the connection.
  const mayBeLost = requests.some(({ isFatal }) => isFatal)
  return requests.flatMap(({ meant, fate, classes, streamId }) => {
    const all = arrived.get(meant.id) ?? []
    const { status = 0, body = '' } = outcomes.get(streamId) ?? {}
    const findings = [...judgeArrived(meant, all, true), ...judgeFate(fate, all.length > 0, mayBeLost)]
    const isServed = status === 200 || status === 204
    if (isServed !== all.length > 0 && !mayBeLost)
      findings.push(`arrived ${all.length} times, but answered ${status}`)
    if (isServed && body !== '' && body !== String(meant.id)) findings.push(`the answer for ${body}`)
    return findings.map((finding) => `request ${meant.id} (${classes.join(', ')}): ${finding}`)
  })
}
