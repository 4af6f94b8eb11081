// Self-signed certificates in the form in which workers get them. Made by openssl.
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import type { PushedCertificate } from '@reverse-proxy/shared/ipc/messages'

const KEY_OPTIONS = {
  ecdsa: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['-newkey', 'rsa:2048'],
}

export interface CertificateOptions {
  readonly key?: keyof typeof KEY_OPTIONS
  readonly days?: number
}

export function makeCertificate(
  names: readonly string[],
  { key = 'ecdsa', days = 2 }: CertificateOptions = {},
): PushedCertificate {
  const alternatives = names.map((name) => `DNS:${name}`).join(',')
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=${alternatives}`]
  const output = ['-noenc', '-keyout', '-', '-out', '-', '-days', String(days)]
  const pem = execFileSync('openssl', ['req', '-x509', ...KEY_OPTIONS[key], ...subject, ...output], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const certStart = pem.indexOf('-----BEGIN CERTIFICATE')
  const certPem = pem.slice(certStart)
  return {
    names,
    certPem,
    keyPem: pem.slice(0, certStart),
    serial: new X509Certificate(certPem).serialNumber,
  }
}
