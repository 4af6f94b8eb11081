// Certificates for the benchmark: P-256, self-signed, good for a day.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'

export interface BenchCertificate {
  readonly certPath: string
  readonly keyPath: string
  /** Both in one file, as haproxy wants them. */
  readonly bothPath: string
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** Written as `NAME.pem`, `NAME.key` and `NAME.both.pem`, NAME being the first of `names`. */
export async function issueCertificate(
  directory: string,
  names: readonly string[],
): Promise<BenchCertificate> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const nowMs = Date.now()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${names[0]}`,
    notBefore: new Date(nowMs - 60_000),
    notAfter: new Date(nowMs + 86_400_000),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
    ],
  })
  const key = await crypto.subtle.exportKey('pkcs8', keys.privateKey)
  const base = join(directory, names[0] ?? '')
  const [certPem, keyPem] = [
    `${certificate.toString('pem')}\n`,
    x509.PemConverter.encode(key, 'PRIVATE KEY') + '\n',
  ]
  const paths = { certPath: `${base}.pem`, keyPath: `${base}.key`, bothPath: `${base}.both.pem` }
  writeFileSync(paths.certPath, certPem)
  writeFileSync(paths.keyPath, keyPem)
  writeFileSync(paths.bothPath, certPem + keyPem)
  return paths
}
