// What is being proved to a CA: finds in each authorization the challenge to answer, and makes what
// workers need to answer it. Arming and disarming is the order's business.
import type { ChallengeType } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import { isRecord } from './json.ts'
import type { AcmeTransport } from './acme-transport.ts'
import { stateOf } from './acme-poll.ts'
import type { CertificateJobs } from './jobs.ts'

/** One name that the CA wants proved. */
export interface PendingAuthorization {
  readonly name: string
  readonly url: string
  readonly challengeUrl: string
  readonly token: string
}

/** RFC 8555 8.1: base64url, so that nothing else can get into a path. */
const TOKEN = /^[\w-]{16,256}$/u

/** What is still to be proved in one authorization; undefined if the CA already holds it proved. */
export function readAuthorization(
  url: string,
  data: unknown,
  type: ChallengeType,
  transport: AcmeTransport,
): PendingAuthorization | undefined {
  const state = stateOf(data)
  const identifier = state?.resource['identifier']
  if (state === undefined || !isRecord(identifier) || typeof identifier['value'] !== 'string') {
    throw transport.error('the CA sends an authorization that cannot be read')
  }
  const name = identifier['value'].toLowerCase()
  if (state.status === 'valid') return undefined
  if (state.status !== 'pending') {
    throw transport.error(`the CA's authorization of ${name} is already ${state.status}`, {
      failedNames: [name],
    })
  }
  const offered = Array.isArray(state.resource['challenges'])
    ? state.resource['challenges'].filter(isRecord)
    : []
  const challenge = offered.find((one) => one['type'] === type)
  if (challenge === undefined) {
    const types = offered.map((one) => String(one['type'])).join(', ')
    throw transport.error(`the CA does not offer ${type} for ${name}, only ${types}`, {
      failedNames: [name],
      hint: 'choose another tls.acme_challenge',
    })
  }
  const { url: challengeUrl, token } = challenge
  if (typeof challengeUrl !== 'string' || typeof token !== 'string' || !TOKEN.test(token)) {
    throw transport.error(`the CA sends a challenge for ${name} that cannot be read`)
  }
  return { name, url, challengeUrl, token }
}

/** What every worker must hold before the CA is told to look. */
export async function prepareChallenge(
  { name, token }: PendingAuthorization,
  type: ChallengeType,
  transport: AcmeTransport,
  jobs: CertificateJobs,
  signal: AbortSignal,
): Promise<ArmedChallenge> {
  const keyAuthorization = await transport.keyAuthorization(token)
  if (type === 'http-01') return { type, token, keyAuthorization }
  const pair = await jobs.run('createChallengePair', { serverName: name, keyAuthorization }, signal)
  return { type, serverName: name, ...pair }
}
