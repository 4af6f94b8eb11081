// Certificates that no CA should have issued: each made from Pebble's real one, and wrong only in what
// the test asks for, signed by an authority of the tests' own.
import type { webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { certificatesOf, leafOf, namesOf } from './issued.ts'

const HOUR_MS = 60 * 60 * 1000
const AUTHORITY_LIFETIME_MS = 10 * 365 * 24 * HOUR_MS
const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const

/** Nothing given: a sound certificate, signed by the tests' authority instead of Pebble's. */
export interface Substitute {
  /** Instead of those ordered. */
  readonly names?: readonly string[]
  /** For a key that the client does not have. */
  readonly otherKey?: boolean
  readonly notBeforeMs?: number
  readonly notAfterMs?: number
}

/** What is done to a chain whose leaf stays the real one; the foreign issuer has the real one's name, not its key. */
export type Arrangement = 'leaf-only' | 'reversed' | 'foreign-issuer'

interface Authority {
  readonly keys: webcrypto.CryptoKeyPair
  readonly certificate: x509.X509Certificate
}

let authority: Promise<Authority> | undefined

/** A chain like `chainPem` but for `change`: a leaf and its issuer. */
export async function substitute(chainPem: string, change: Substitute): Promise<string> {
  const real = leafOf(chainPem)
  const { keys, certificate: issuer } = await (authority ??= createAuthority('CN=Substitute CA of the tests'))
  const publicKey = change.otherKey === true ? (await generateKeys()).publicKey : real.publicKey
  const names = change.names ?? namesOf(real)
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    issuer: issuer.subject,
    subject: '',
    notBefore: new Date(change.notBeforeMs ?? real.notBefore),
    notAfter: new Date(change.notAfterMs ?? real.notAfter),
    publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: /^[\d.]+$|:/u.test(value) ? 'ip' : 'dns', value })),
        true,
      ),
      new x509.BasicConstraintsExtension(false, undefined, true),
      await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return pemOf([leaf, issuer])
}

export async function rearrange(chainPem: string, arrangement: Arrangement): Promise<string> {
  const [leaf, ...issuers] = certificatesOf(chainPem)
  if (leaf === undefined) throw new Error('the chain is empty')
  if (arrangement === 'leaf-only') return pemOf([leaf])
  if (arrangement === 'reversed') return pemOf([...issuers.toReversed(), leaf])
  const { certificate: foreigner } = await createAuthority(leaf.issuer)
  return pemOf([leaf, foreigner])
}

async function createAuthority(name: string): Promise<Authority> {
  const keys = await generateKeys()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name,
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + AUTHORITY_LIFETIME_MS),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { keys, certificate }
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await crypto.subtle.generateKey(KEY, true, ['sign', 'verify'])
}

function randomSerial(): string {
  return `01${Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')}`
}

function pemOf(certificates: readonly x509.X509Certificate[]): string {
  return certificates.map((certificate) => `${certificate.toString('pem').trim()}\n`).join('')
}
