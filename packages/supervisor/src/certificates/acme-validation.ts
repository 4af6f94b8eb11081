// Proves to the CA that the names are ours: RFC 8555 7.5. Every worker can answer for every name before
// the CA is told of the first, and nothing stays armed, however it ends.
import type { AcmeReply } from './acme-answer.ts'
import type { OrderRequest } from './acme-order.ts'
import { poll } from './acme-poll.ts'
import { AcmeError, describeProblem, parseProblem } from './acme-problem.ts'
import type { AcmeTransport } from './acme-transport.ts'
import type { PendingAuthorization } from './challenges.ts'
import { prepareChallenge } from './challenges.ts'
import { isRecord } from './json.ts'

export interface Validation {
  readonly request: Pick<
    OrderRequest,
    'settings' | 'host' | 'limits' | 'signal' | 'progress' | 'arm' | 'disarm'
  >
  readonly transport: AcmeTransport
  /** A request signed by the account. */
  readonly post: (doing: string, url: string, payload: object | null) => Promise<AcmeReply>
}

/** Throws AcmeError with `failedNames` when the CA does not believe us. */
export async function proveNames(
  pending: readonly PendingAuthorization[],
  validation: Validation,
): Promise<void> {
  const { request, transport, post } = validation
  const { settings, host, signal, progress, arm, disarm } = request
  progress('challenge', settings.challenge)
  const challenges = await Promise.all(
    pending.map(async (one) => await prepareChallenge(one, settings.challenge, transport, host.jobs, signal)),
  )
  try {
    await arm(challenges)
    signal.throwIfAborted()
    for (const { challengeUrl, name } of pending) {
      await post(`the challenge for ${name} is refused`, challengeUrl, {}).catch((error: unknown) => {
        // CAs refuse a second one while they look: the first had reached them, though its response got lost.
        if (!(error instanceof AcmeError) || !error.isRepeat) throw error
      })
    }
    progress('validating')
    await awaitValidation(pending, validation)
  } finally {
    await disarm()
  }
}

/** Waits for every name, so that all the bad ones are known, not the first alone. */
async function awaitValidation(
  pending: readonly PendingAuthorization[],
  validation: Validation,
): Promise<void> {
  const { request, transport, post } = validation
  const { validationMs } = request.limits
  const { clock } = request.host
  const giveUpMs = clock.timerMs() + validationMs
  const failures: Failure[] = []
  for (const { name, url } of pending) {
    const state = await poll({
      look: async () => await post('cannot read an authorization', url, null),
      isFinal: (status) => status !== 'pending',
      limitMs: giveUpMs - clock.timerMs(),
      clock,
      signal: request.signal,
    })
    if (state === undefined) {
      throw transport.error(`the CA has not looked at ${name} within ${validationMs / 1000} s`)
    }
    if (state.status !== 'valid') failures.push({ name, document: challengeErrorOf(state.resource) })
  }
  if (failures.length === 0) return
  const port = request.settings.challenge === 'http-01' ? 80 : 443
  throw transport.error(`the CA could not validate ${failures.map(describe).join('; ')}`, {
    document: compound(failures),
    failedNames: failures.map(({ name }) => name),
    hint: `the CA must reach port ${port} of each name on this machine: check DNS (A and AAAA), firewall, forwarding`,
  })
}

interface Failure {
  readonly name: string
  /** The CA's problem document, if it gave one. */
  readonly document: unknown
}

function challengeErrorOf(authorization: Readonly<Record<string, unknown>>): unknown {
  const challenges = authorization['challenges']
  if (!Array.isArray(challenges)) return undefined
  return challenges.filter(isRecord).find((challenge) => challenge['error'] !== undefined)?.['error']
}

function describe({ name, document }: Failure): string {
  const problem = parseProblem(document)
  return problem === undefined ? name : `${name} (${describeProblem(problem)})`
}

/** RFC 8555 6.7.1: one document for the errors of several names. */
function compound(failures: readonly Failure[]): object {
  return {
    type: 'urn:ietf:params:acme:error:compound',
    detail: 'validation failed',
    subproblems: failures.map(({ name, document }) => ({
      ...(isRecord(document) ? document : { detail: 'no reason given' }),
      identifier: { type: 'dns', value: name },
    })),
  }
}
