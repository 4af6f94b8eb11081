// One conversation over HTTP/1, held and judged: what the client saw against what the upstream got.
import { setImmediate as nextTurn } from 'node:timers/promises'
import tls from 'node:tls'
import type { Chance } from './chance.ts'
import type { Http1Request } from './http1-draft.ts'
import { judgeArrived, judgeFate } from './judge.ts'
import type { RecordingUpstream } from './recording-upstream.ts'
import { readResponses, type StrictResponse } from './strict-responses.ts'

const PATIENCE_MS = 30_000
const LONGEST_PIECE = 2_000

/** Everything that came back before the connection ended. */
export async function converse(
  port: number,
  requests: readonly Http1Request[],
  chance: Chance,
): Promise<{ readonly seen: string; readonly hasEnded: boolean }> {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'a.example', rejectUnauthorized: false })
  socket.setNoDelay(true)
  socket.on('error', () => {})
  let seen = ''
  socket.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const text = requests.map(({ bytes }) => bytes).join('')
  for (const piece of chance.percent(50) ? [text] : chance.pieces(text, LONGEST_PIECE)) {
    socket.write(piece, 'latin1')
    await nextTurn()
  }
  if (requests.at(-1)?.isCutShort === true) socket.end()
  const giveUp = setTimeout(() => socket.destroy(new Error('no end')), PATIENCE_MS)
  let hasEnded = true
  socket.once('error', (error) => (hasEnded = error.message !== 'no end'))
  await closed
  clearTimeout(giveUp)
  return { seen, hasEnded }
}

/** @returns what must not have happened, each with the request it happened to */
export function judgeConversation(
  requests: readonly Http1Request[],
  seen: string,
  { arrived }: Pick<RecordingUpstream, 'arrived'>,
): string[] {
  const findings: string[] = []
  // Who hangs up within a request does not wait for the answers to those before it.
  const isAbandoned = requests.at(-1)?.isCutShort === true
  let responses: StrictResponse[] = []
  try {
    responses = readResponses(seen)
  } catch (error) {
    if (!isAbandoned) findings.push(`the client got ${String(error)}`)
  }
  const answered = new Set(responses.map(({ id }) => id))
  if (responses.length > requests.length)
    findings.push(`${responses.length} responses to ${requests.length} requests`)
  let isOver = false
  let isUncertain = false
  let mayBeLost = isAbandoned
  for (const { meant, fate, classes, isLast, mayEnd } of requests) {
    const all = arrived.get(meant.id) ?? []
    const hasArrived = all.length > 0
    const about = [
      ...judgeArrived(meant, all, fate !== 'either', isUncertain),
      ...judgeFate(isOver ? 'refused' : fate, hasArrived, mayBeLost),
    ]
    if (answered.has(meant.id) && !hasArrived) about.push('answered by an upstream that never got it')
    if (hasArrived && fate === 'served' && !mayBeLost && !answered.has(meant.id)) about.push('never answered')
    findings.push(...about.map((finding) => `request ${meant.id} (${classes.join(', ')}): ${finding}`))
    if (fate === 'either') isUncertain = true
    // What is refused ends the connection: nothing behind it can be trusted to begin where it seems to.
    if ((fate === 'refused' && !isUncertain) || isLast) isOver = true
    if (fate !== 'served' || mayEnd) mayBeLost = true
  }
  return findings
}
