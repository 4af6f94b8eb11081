// Reads the operator's files that an exchange with the CA needs. They are read for each exchange, since they may be
// replaced while the program runs.
import { readSmallFile } from '../../os/read-file.ts'
import type { AcmeSettings } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import type { ExternalAccount } from './transport/signature.ts'

/** Reads the external account binding (RFC 8555 7.3.4). @throws ProxyError CONFIG */
export async function readExternalAccount({ eab }: AcmeSettings): Promise<ExternalAccount | undefined> {
  if (eab === undefined) return undefined
  return { kid: eab.kid, hmacKey: (await readText(eab.hmacFile, 'tls.acme_eab_hmac_file')).trim() }
}

/** Roots to trust beside the well-known ones, PEM. Throws CONFIG. */
export async function readCaRoots({ caFile }: AcmeSettings): Promise<string | undefined> {
  return caFile === undefined ? undefined : await readText(caFile, 'tls.acme_ca_file')
}

async function readText(path: string, key: string): Promise<string> {
  try {
    return (await readSmallFile(path)).toString('utf8')
  } catch (error) {
    throw new ProxyError('CONFIG', `cannot read ${key}: ${messageOf(error)}`, {
      cause: error,
      hint: `${key} must be a regular file that the supervisor can read`,
    })
  }
}
