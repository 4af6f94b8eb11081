// The probes of `doctor` as functions: its checks see only what these report, so that tests can report anything. The
// real ones are in system-probes.ts. None of them leaves a change behind.
import type { CaaRecord } from 'node:dns'
import type { AcmeSettings, Upstream } from '@reverse-proxy/shared/config/config'
import type { FailureRecord } from '../../certificates/renewal/failure-record.ts'
import type { Inspection } from '../../certificates/crypto/inspect.ts'

/** `fault`: `ENOTFOUND`, `ENODATA`, `ESERVFAIL`, `ETIMEOUT`, ... of the name server. */
export type Answer<Value> = { readonly found: Value } | { readonly fault: string }

/** The result of binding a port and connecting to it from this machine. */
export type PortState =
  | { readonly state: 'free' | 'unreachable' }
  | { readonly state: 'refused'; readonly code: string; readonly message: string; readonly hint: string }

export type TcpUpstream = Extract<Upstream, { kind: 'tcp' }>

/** `untrusted`: a worker would not accept its TLS handshake. */
export type UpstreamState =
  | { readonly state: 'reachable' | 'timeout' }
  /** A code of the system: ECONNREFUSED, ENOTFOUND, ... */
  | { readonly state: 'unreachable'; readonly code: string }
  | { readonly state: 'untrusted'; readonly reason: string }

export interface CaDirectory {
  /** RFC 8555 7.1.1 `meta`, as the CA sent it. */
  readonly meta: Readonly<Record<string, unknown>>
  /** The time at the CA; undefined without a Date header field. */
  readonly dateMs: number | undefined
}

export interface DirectoryState {
  /** The directory itself; if it is missing, its nearest existing parent. */
  readonly path: string
  readonly exists: boolean
  /** Why the directory is not writable; undefined if it is. */
  readonly fault: { readonly message: string; readonly hint: string } | undefined
  /** Entries that other users can access, relative to the directory. */
  readonly exposed: readonly string[]
  /** An entry that does not belong in a cache directory. */
  readonly foreign?: string | undefined
}

export interface Probes {
  nowMs(): number
  /** Addresses of this machine's interfaces, as shared/ip-address.ts spells them. */
  localAddresses(): readonly string[]
  addressesOf(name: string): Promise<Answer<readonly string[]>>
  /** The CAA records of exactly this name, aliases followed; none: an empty list. */
  caaOf(name: string): Promise<Answer<readonly CaaRecord[]>>
  /** Whether mail to this domain can be delivered anywhere. */
  receivesMail(domain: string): Promise<boolean>
  /** Process id of the proxy that runs with this configuration. */
  runningProxy(): Promise<number | undefined>
  port(address: string, port: number): Promise<PortState>
  /** Whether this process, or a child of it, listens on the port. */
  isHeldBy(pid: number | undefined, port: number): Promise<boolean>
  /** Whether one can connect to it from this machine. */
  connects(address: string, port: number): Promise<boolean>
  /** Connects to the upstream and verifies its certificate. */
  upstream(upstream: TcpUpstream, signal: AbortSignal): Promise<UpstreamState>
  /** Throws ProxyError with a hint. */
  caDirectory(settings: AcmeSettings): Promise<CaDirectory>
  directory(path: string): Promise<DirectoryState>
  /** The last failure that is recorded in a cache directory. */
  failure(cacheDir: string): Promise<FailureRecord | undefined>
  /** Undefined: there is none. */
  cachedCertificate(cacheDir: string): Promise<Inspection | undefined>
  pair(certPath: string, keyPath: string): Promise<Inspection>
}
