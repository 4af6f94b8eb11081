// The CA as certificate managers use it.
import { placeOrder, resumeRecorded, syncContact } from './order.ts'
import { askRenewalInfo } from './renewal-info.ts'

export interface CertificateAuthority {
  readonly placeOrder: typeof placeOrder
  readonly resumeRecorded: typeof resumeRecorded
  readonly syncContact: typeof syncContact
  readonly askRenewalInfo: typeof askRenewalInfo
}

export const ACME_AUTHORITY: CertificateAuthority = {
  placeOrder,
  resumeRecorded,
  syncContact,
  askRenewalInfo,
}
