// Private keys: made, and turned into what WebCrypto signs with. Keys are PKCS#8 PEM everywhere else.
import { createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto } from 'node:crypto'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { KeyType } from '@reverse-proxy/shared/config/config'

/** A new private key, PKCS#8 PEM. Slow for RSA: run it through jobs.ts. */
export function generateKey(type: KeyType): string {
  return generatePair(type).privateKey.export({ type: 'pkcs8', format: 'pem' })
}

function generatePair(type: KeyType) {
  switch (type) {
    case 'ecdsa-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' })
    case 'ecdsa-p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' })
    case 'rsa-2048':
      return generateKeyPairSync('rsa', { modulusLength: 2048 })
    case 'rsa-4096':
      return generateKeyPairSync('rsa', { modulusLength: 4096 })
    default:
      return assertNever(type)
  }
}

export interface SigningKey {
  readonly pair: webcrypto.CryptoKeyPair
  readonly algorithm: { readonly name: string; readonly hash: string }
}

/** The pair behind a PKCS#8 PEM key (P-256, P-384 or RSA), and the algorithm it signs with. */
export async function importSigningKey(keyPem: string): Promise<SigningKey> {
  const privateKey = createPrivateKey(keyPem)
  const curve = privateKey.asymmetricKeyDetails?.namedCurve
  const importing =
    privateKey.asymmetricKeyType === 'rsa'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : curve === 'secp384r1'
        ? { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }
        : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' })
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const [signing, verifying] = await Promise.all([
    webcrypto.subtle.importKey('pkcs8', pkcs8, importing, true, ['sign']),
    webcrypto.subtle.importKey('spki', spki, importing, true, ['verify']),
  ])
  return {
    pair: { privateKey: signing, publicKey: verifying },
    algorithm: { name: importing.name, hash: importing.hash },
  }
}
