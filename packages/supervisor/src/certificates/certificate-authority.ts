// What a certificate manager asks of a CA.
import { placeOrder } from './acme-order.ts'
import { askRenewalInfo } from './acme-renewal-info.ts'

export interface CertificateAuthority {
  readonly placeOrder: typeof placeOrder
  readonly askRenewalInfo: typeof askRenewalInfo
}

export const ACME_AUTHORITY: CertificateAuthority = { placeOrder, askRenewalInfo }
