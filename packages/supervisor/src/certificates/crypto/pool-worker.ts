// The pool's end of jobs.ts: runs in a worker thread, which loads nothing else of the supervisor.
import type { KeyType } from '@reverse-proxy/shared/config/config'
import { inspectPair } from './inspect.ts'
import type { Inspection } from './inspect.ts'
import type { IssuedChain, IssuedInspection } from './issued-chain.ts'
import { inspectIssuedChain } from './issued-chain.ts'
import { generateKey } from './keys.ts'
import type { Pair } from './signing.ts'
import { certificateIdOf, createAuthority, createChallengePair, createCsr, createLeaf } from './signing.ts'

export interface Job {
  readonly name: JobName
  readonly input: unknown
}

/** jobs.ts guarantees that `input` has the type of the named job. */
export async function runJob({
  name,
  input,
}: {
  readonly name: JobName
  readonly input: never
}): Promise<unknown> {
  return await JOBS[name](input)
}

export const JOBS = {
  generateKey: (type: KeyType): string => generateKey(type),
  createCsr: async (input: { readonly names: readonly string[]; readonly keyPem: string }): Promise<string> =>
    await createCsr(input.names, input.keyPem),
  createChallengePair: async (input: {
    readonly serverName: string
    readonly keyAuthorization: string
  }): Promise<Pair> => await createChallengePair(input.serverName, input.keyAuthorization),
  createAuthority: async (input: { readonly nowMs: number }): Promise<Pair> =>
    await createAuthority(input.nowMs),
  createLeaf: async (input: {
    readonly authority: Pair
    readonly names: readonly string[]
    readonly nowMs: number
  }): Promise<Pair> => await createLeaf(input.authority, input.names, input.nowMs),
  certificateIdOf: (certPem: string): string | undefined => certificateIdOf(certPem),
  inspectPair: (pair: Pair): Inspection => inspectPair(pair.certPem, pair.keyPem),
  inspectIssuedChain: (issued: IssuedChain): IssuedInspection => inspectIssuedChain(issued),
} as const

export type JobName = keyof typeof JOBS
export type JobInput<Name extends JobName> = Parameters<(typeof JOBS)[Name]>[0]
export type JobResult<Name extends JobName> = Awaited<ReturnType<(typeof JOBS)[Name]>>
