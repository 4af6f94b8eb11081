// What a test and a process with a certificate manager in it say to each other.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { ArmedChallenge } from '@reverse-proxy/shared/ipc/messages'
import type { Trap } from './fs-trap.ts'

export type ManagerTask =
  /** Load what is cached. */
  | 'load'
  /** Load, and obtain a certificate if there is none, as a start does. */
  | 'acquire'
  /** Load, go on as a program that has started, and renew once, now. */
  | 'renew'

export interface ManagerRun {
  readonly task: ManagerTask
  readonly settings: AcmeSettings
  /** Set when everything is loaded. */
  readonly trap: Trap
  /** Of processes that it takes for dead as soon as it waits for them, and for one that is not named; none: it waits. */
  readonly takenForDead: readonly number[] | undefined
}

interface ServedPair {
  readonly serial: string
  readonly certPem: string
  readonly keyPem: string
}

export interface ManagerOutcome {
  /** Serial numbers in the order they were published. */
  readonly published: readonly string[]
  /** In the end. */
  readonly served: ServedPair | undefined
  readonly needsOrder: boolean
  /** Something is to be ordered as soon as the program has started. */
  readonly isDue: boolean
  /** What `load`, `acquire` or `renew` threw. */
  readonly error: string | undefined
  /** `level EVENT error`. */
  readonly logged: readonly string[]
  /** File system calls from the trap's setting to the manager's end. */
  readonly calls: readonly string[]
  /** How many of them there had been when the order was placed; undefined if that was not reached. */
  readonly callsBeforeOrder: number | undefined
  /** The same of the download, that is, once the CA had been asked to sign. */
  readonly callsBeforeDownload: number | undefined
}

export type ToManager = { readonly type: 'run'; readonly run: ManagerRun } | { readonly type: 'armed' }

export type FromManager =
  | { readonly type: 'booted' }
  | { readonly type: 'arm'; readonly challenges: readonly ArmedChallenge[] }
  | { readonly type: 'progress'; readonly step: string; readonly detail: string | undefined }
  | { readonly type: 'outcome'; readonly outcome: ManagerOutcome }
