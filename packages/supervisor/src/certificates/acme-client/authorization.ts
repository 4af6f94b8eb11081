// Proves to the CA that the names are ours: RFC 8555 7.5. Every proof is in place before the CA is told of the
// first, and no proof stays, however it ends.
import { isRecord } from '@reverse-proxy/shared/json'
import type { ChallengeSolver } from '../solvers/solver.ts'
import type { OrderRequest } from './order-request.ts'
import { poll, stateOf } from './polling.ts'
import { AcmeError, describeProblem, parseProblem } from './transport/problem.ts'
import type { AcmeResponse } from './transport/response.ts'
import type { AcmeTransport } from './transport/transport.ts'

/** One name that the CA wants proved. */
export interface PendingAuthorization {
  /** Lower case; `*.example.com` for a wildcard. */
  readonly name: string
  readonly url: string
  readonly challengeUrl: string
  readonly token: string
}

/** RFC 8555 8.1: base64url, so that nothing else can get into a path. */
const TOKEN = /^[\w-]{16,256}$/u

/** The challenge to take of one authorization; undefined if the authorization is already valid. Throws AcmeError. */
export function readAuthorization(
  url: string,
  data: unknown,
  solver: Pick<ChallengeSolver, 'type' | 'supports'>,
  transport: Pick<AcmeTransport, 'error'>,
): PendingAuthorization | undefined {
  const state = stateOf(data)
  const identifier = state?.resource['identifier']
  if (state === undefined || !isRecord(identifier) || typeof identifier['value'] !== 'string') {
    throw transport.error('the CA sends an authorization that cannot be read')
  }
  const domain = identifier['value'].toLowerCase()
  // RFC 8555 7.1.4: the identifier of a wildcard comes without the asterisk.
  const name = state.resource['wildcard'] === true ? `*.${domain}` : domain
  if (state.status === 'valid') return undefined
  if (state.status !== 'pending') {
    throw transport.error(`the CA's authorization of ${name} is already ${state.status}`, {
      failedNames: [name],
    })
  }
  const hint = 'choose another tls.acme_challenge'
  if (!solver.supports(name)) {
    throw transport.error(`${solver.type} cannot prove ${name}`, { failedNames: [name], hint })
  }
  const offered = Array.isArray(state.resource['challenges'])
    ? state.resource['challenges'].filter(isRecord)
    : []
  const challenge = offered.find((one) => one['type'] === solver.type)
  if (challenge === undefined) {
    const types = offered.map((one) => String(one['type'])).join(', ')
    throw transport.error(`the CA does not offer ${solver.type} for ${name}, only ${types}`, {
      failedNames: [name],
      hint,
    })
  }
  const { url: challengeUrl, token } = challenge
  if (typeof challengeUrl !== 'string' || typeof token !== 'string' || !TOKEN.test(token)) {
    throw transport.error(`the CA sends a challenge for ${name} that cannot be read`)
  }
  return { name, url, challengeUrl, token }
}

export interface Validation {
  readonly request: Pick<OrderRequest, 'host' | 'solver' | 'limits' | 'signal' | 'progress'>
  readonly transport: AcmeTransport
  /** A request signed by the account. */
  readonly post: (doing: string, url: string, payload: object | null) => Promise<AcmeResponse>
}

/** Throws AcmeError with `failedNames` when the CA does not believe us. */
export async function proveNames(
  pending: readonly PendingAuthorization[],
  validation: Validation,
): Promise<void> {
  const { request, transport, post } = validation
  const { solver, signal, progress } = request
  progress('challenge', solver.type)
  const challenges = await Promise.all(
    pending.map(async ({ name, token }) => {
      return { name, token, keyAuthorization: await transport.keyAuthorization(token) }
    }),
  )
  try {
    await solver.present(challenges, signal)
    signal.throwIfAborted()
    for (const { challengeUrl, name } of pending) {
      await post(`the challenge for ${name} is refused`, challengeUrl, {}).catch((error: unknown) => {
        // CAs reject a second request while they validate: the first one arrived, and only its response was lost.
        if (!(error instanceof AcmeError) || !error.isRepeat) throw error
      })
    }
    progress('validating')
    await awaitValidation(pending, validation)
  } finally {
    await solver.cleanup()
  }
}

/** Waits for every name, so that the error lists all that failed, not the first alone. */
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
  throw transport.error(`the CA could not validate ${failures.map(describe).join('; ')}`, {
    document: compound(failures),
    failedNames: failures.map(({ name }) => name),
    hint: request.solver.hint,
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
