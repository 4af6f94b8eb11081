// What an explanation is made from, and what it says.
import type { WorkerConfig } from '@reverse-proxy/shared/ipc/messages'
import type { StageName } from '../listen/stage-order.ts'

export interface ExplainedRequest {
  readonly url: string
  readonly method: string
  /** Address of the client's connection. With the PROXY protocol: the one that its header names. */
  readonly from: string
  readonly headers: readonly Field[]
}

export interface ExplainedProxy {
  readonly config: WorkerConfig
  /** Those that are served, or will be. */
  readonly certificates: readonly ExplainedCertificate[]
  /** Undefined: nobody knows who is banned. */
  readonly isBanned: ((ip: string) => boolean) | undefined
}

export interface ExplainedCertificate {
  readonly listener: string
  readonly names: readonly string[]
  /** For people. */
  readonly description: string
}

export type Field = readonly [name: string, value: string]

export interface Step {
  readonly step: 'listener' | 'connection' | 'certificate' | StageName
  /** False: the request ends here. */
  readonly passes: boolean
  readonly why: string
}

export interface Explanation {
  readonly listener: string | null
  readonly client: string
  readonly site: string | null
  /** Path of the route; null: what the site says holds. */
  readonly route: string | null
  readonly steps: readonly Step[]
  /** What is sent to an upstream. */
  readonly upstream: ExplainedUpstream | null
  /** What the proxy responds by itself. */
  readonly response: {
    readonly status: number
    readonly headers: readonly Field[]
    readonly body: string
  } | null
}

export interface ExplainedUpstream {
  /** `http://127.0.0.1:3000`; one of them is asked. */
  readonly peers: readonly string[]
  readonly method: string
  readonly path: string
  readonly headers: readonly Field[]
  /** What is set on its response; '': removed. */
  readonly response_headers: readonly Field[]
}
