// Finds the challenge to answer in each authorization and prepares what workers need for it. The order arms and
// disarms it.
import type { ChallengeType } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import { isRecord } from '../storage/json.ts'
import type { AcmeTransport } from '../acme-client/transport.ts'
import { stateOf } from '../acme-client/polling.ts'
import type { CertificateJobs } from '../crypto/jobs.ts'

/** One name that the CA wants proved. */
export interface PendingAuthorization {
  readonly name: string
  readonly url: string
  readonly challengeUrl: string
  readonly token: string
}

/** RFC 8555 8.1: base64url, so that nothing else can get into a path. */
const TOKEN = /^[\w-]{16,256}$/u

/** The challenge of one authorization; undefined if the authorization is already valid. */
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

/** Prepares what every worker must hold before the CA validates. */
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
