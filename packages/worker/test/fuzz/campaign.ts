// Many conversations, several at a time, against one proxy and one upstream; what was found, what was
// tried, and how much of it got through.
import type { TestContext } from 'node:test'
import { waitFor } from '../../../../test/harness/wait.ts'
import type { WorkerProcess } from '../support/process/worker-process.ts'
import { LIMITS, siteOf } from '../support/site-server.ts'
import { Chance } from './chance.ts'
import { converse, judgeConversation } from './http1-conversation.ts'
import { HTTP1_CLASSES, makeConversation } from './http1-grammar.ts'
import { HTTP2_CLASSES, makeSession } from './http2-grammar.ts'
import { holdSession, judgeSession } from './http2-session.ts'
import { startRecordingUpstream, type RecordingUpstream } from './recording-upstream.ts'

export interface Campaign {
  /** Made so far. */
  readonly requests: number
  /** That the upstream got, whole. */
  readonly reached: number
  /** How often each kind of oddity was tried. */
  readonly classes: ReadonlyMap<string, number>
  readonly findings: readonly string[]
}

/** Most of them wait: for the client to be done with, or for a body that will not come. */
const CONCURRENCY = 48
const HTTP2_PERCENT = 30
/** Enough to see what is wrong. */
const MAX_FINDINGS = 20
/** Short, so that a request that will never be complete does not hold anything up; the rest is for slow machines. */
const FUZZ_LIMITS = {
  ...LIMITS,
  bodyStallTimeoutMs: 4_000,
  requestHeaderTimeoutMs: 4_000,
  tlsHandshakeTimeoutMs: 30_000,
  requestsPerConnection: 1_000_000,
}
const FUZZ_SITE = { connectTimeoutMs: 30_000, requestTimeoutMs: 30_000 }

/** Makes at least `wanted` requests, fewer only when `isEnough` says so after a conversation. */
export async function runCampaign(
  t: TestContext,
  worker: WorkerProcess,
  options: {
    readonly seed: number
    readonly wanted: number
    readonly isEnough?: (findings: readonly string[]) => boolean
  },
): Promise<Campaign> {
  const { seed, wanted, isEnough = (found) => found.length >= MAX_FINDINGS } = options
  const recording = await startRecordingUpstream(t)
  await worker.configure([siteOf(recording.upstream.port, FUZZ_SITE)], FUZZ_LIMITS)
  const classes = new Map<string, number>([...HTTP1_CLASSES, ...HTTP2_CLASSES].map((name) => [name, 0]))
  const findings: string[] = []
  let requests = 0
  const nextId = (): number => (requests += 1)
  const count = (made: readonly { readonly classes: readonly string[] }[]): void => {
    for (const name of made.flatMap((request) => request.classes))
      classes.set(name, (classes.get(name) ?? 0) + 1)
  }

  const hold = async (chance: Chance): Promise<void> => {
    if (chance.percent(HTTP2_PERCENT)) {
      const made = makeSession(chance, nextId)
      count(made)
      const outcomes = await holdSession(t, worker.httpsPort, made)
      if (outcomes === undefined) findings.push(`no end: ${JSON.stringify(made.map((one) => one.classes))}`)
      else findings.push(...judgeSession(made, outcomes, recording))
    } else {
      const made = makeConversation(chance, nextId)
      count(made)
      const { seen, hasEnded } = await converse(worker.httpsPort, made, chance)
      if (!hasEnded) findings.push(`no end: ${JSON.stringify(made.map(({ bytes }) => bytes))}`)
      else findings.push(...judgeConversation(made, seen, recording))
    }
  }
  let conversation = 0
  const client = async (): Promise<void> => {
    for (;;) {
      if (requests >= wanted || isEnough([...findings, ...recording.violations])) return
      conversation += 1
      try {
        await hold(new Chance(seed + conversation))
      } catch (error) {
        findings.push(`conversation ${conversation}: ${String(error)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, client))
  findings.push(...recording.violations)
  // What it breaks off itself, for being no request, the upstream has not given up yet.
  if (recording.violations.length === 0) {
    await waitFor('what was begun and never ended to be given up', () => !hasLeftOver(recording)).catch(
      (error: unknown) => findings.push(String(error)),
    )
  }
  return { requests, reached: recording.arrived.size, classes, findings }
}

/** A request that was begun and not ended may only stand at the end of a connection that is no more. */
function hasLeftOver({ upstream }: RecordingUpstream): boolean {
  return upstream.connections.some(({ socket, received }) => received !== '' && !socket.destroyed)
}
