// What a certificate manager asks of a CA.
import { placeOrder, resumeRecorded, syncContact } from './acme-order.ts'
import { askRenewalInfo } from './acme-renewal-info.ts'

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
