// The input of an order: settings, the means to prove names, and the records that outlast a crash.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { StoredCertificate } from '../certificate.ts'
import type { CertificateJobs } from '../crypto/jobs.ts'
import type { OrderStep } from '../services.ts'
import type { ChallengeSolver } from '../solvers/solver.ts'
import type { ListenerAccounts, MachineAccounts } from './account.ts'
import type { AcmeLimits } from './transport/time-limits.ts'
import type { WaitableClock } from '../../os/waitable-clock.ts'

export interface OrderRequest {
  readonly settings: AcmeSettings
  /** Lower case. */
  readonly names: readonly string[]
  /** The certificate in service, of any issuer. */
  readonly predecessor: StoredCertificate | undefined
  readonly accounts: ListenerAccounts
  readonly orders: OrderRecords
  /** The machine's; undefined: the listener has an account of its own. */
  readonly sharedAccounts?: MachineAccounts | undefined
  readonly host: { readonly jobs: CertificateJobs; readonly clock: WaitableClock }
  readonly limits: AcmeLimits
  readonly signal: AbortSignal
  readonly solver: ChallengeSolver
  readonly progress: (step: OrderStep, detail?: string) => void
  /** Logs a defect of a certificate that is used nevertheless. */
  readonly warn: (text: string) => void
  /** Asked directly before each request that counts at the CA; throws when the order is no longer ours to place. */
  readonly mayOrder: () => Promise<void>
}

export type ContactRequest = Pick<
  OrderRequest,
  'settings' | 'accounts' | 'sharedAccounts' | 'host' | 'limits' | 'signal'
>

/** An order that is about to be finalized, with the key it is for. */
export interface OrderRecord {
  readonly directoryUrl: string
  readonly accountUrl: string
  readonly orderUrl: string
  /** Lower case. */
  readonly names: readonly string[]
  /** PKCS#8 PEM. */
  readonly keyPem: string
  /** base64url DER, as it is sent with finalize. */
  readonly csr: string
  /** Attempts to resume it that the CA did not let succeed. */
  readonly failures: number
}

/** Keeps the order of one listener that is under way. The caller holds the listener's lock. */
export interface OrderRecords {
  /** Undefined if there is none. Throws CACHE. */
  load(): Promise<OrderRecord | undefined>
  /** On the disk when it resolves. Throws CACHE. */
  save(record: OrderRecord): Promise<void>
  /** Idempotent. Never rejects: a record that stays is known by its key, which is in service, or by its failures. */
  clear(): Promise<void>
}
