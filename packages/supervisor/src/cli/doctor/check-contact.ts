// Whether the CA will accept the contact, and reach somebody there. Pure.
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import type { Finding } from './finding.ts'
import { judgeOf } from './finding.ts'

/** RFC 2606 and 6761: nobody can have mail there. */
const RESERVED = /(?:^|\.)(?:test|example|invalid|localhost|local|internal|example\.(?:com|net|org))$/u

/** The part after the @, lower case; undefined where there is none. */
export function contactDomain({ contact }: Pick<AcmeSettings, 'contact'>): string | undefined {
  return /^mailto:[^@,?\s]+@([^@,?\s]+)$/iu.exec(contact)?.[1]?.toLowerCase()
}

export function judgeContact(settings: Pick<AcmeSettings, 'contact'>, takesMail: boolean): Finding {
  const judge = judgeOf('contact', settings.contact)
  const domain = contactDomain(settings)
  if (domain === undefined) {
    return judge.fail('is not one mail address', 'write tls.acme_contact = "mailto:you@your-domain"')
  }
  if (RESERVED.test(domain)) {
    return judge.warn(
      `${domain} is reserved: public CAs refuse it`,
      'write an address at which you read mail',
    )
  }
  if (!takesMail) {
    return judge.warn(`no mail can be delivered to ${domain}`, 'write an address at which you read mail')
  }
  return judge.ok(`${domain} takes mail`)
}
