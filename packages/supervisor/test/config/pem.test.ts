// The checks of `validate` on keys, before a listener serves with them.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import {
  certificateDoubts,
  certificateFault,
  keyFault,
  withoutByteOrderMark,
} from '../../src/certificates/crypto/pem.ts'

function ecKey(namedCurve: string): string {
  return generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' })
}

test('a key on a curve that no TLS handshake can use is refused, by name and with what to use', () => {
  for (const curve of ['secp256k1', 'brainpoolP256r1']) {
    const fault = keyFault(ecKey(curve))
    assert.equal(fault?.code, 'KEY_INVALID')
    assert.equal(fault.message, `holds a key (curve ${curve}) that no TLS handshake can use`)
    assert.match(fault.hint, /P-256/u)
  }
  for (const curve of ['P-256', 'P-384', 'P-521']) assert.equal(keyFault(ecKey(curve)), undefined, curve)
  const ed25519 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  assert.equal(keyFault(ed25519), undefined)
})

test('a byte order mark before a key is passed over, whatever the file was read as', () => {
  const key = ecKey('P-256')
  const bytes = Buffer.from(`\u{feff}${key}`)
  for (const encoding of ['utf8', 'latin1'] as const)
    assert.equal(withoutByteOrderMark(bytes.toString(encoding)), key)
})

test('a certificate under a label of old OpenSSL is refused by that name, and with how to write it anew', () => {
  for (const label of ['TRUSTED CERTIFICATE', 'X509 CERTIFICATE']) {
    const fault = certificateFault(`-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`)
    assert.equal(fault?.message, `holds a certificate under the label ${label}, which is not read`)
    assert.match(fault.hint, /openssl x509 -in/u)
  }
})

function selfSigned(extension: string): string {
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', '/dev/null']
  const subject = ['-subj', `/CN=${extension}`, '-addext', `extendedKeyUsage=${extension}`, '-days', '2']
  return execFileSync('openssl', ['req', '-x509', ...options, ...subject, '-out', '-'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
}

test('a certificate that clients will refuse is a doubt that says why; a sound one is none', () => {
  const [server, client] = [selfSigned('serverAuth'), selfSigned('clientAuth')]
  const dayMs = 86_400_000
  const said = (pem: string, days = 0): string[] =>
    certificateDoubts(pem, Date.now() + 1000 + days * dayMs).map(({ message }) => message)
  assert.deepEqual(said(server), [])
  assert.match(said(server, 3).join(), /^expired at \d{4}-/u)
  assert.match(said(server, -1).join(), /^is not valid before \d{4}-/u)
  assert.match(said(client).join(), /^is not for servers: its extended key usage lacks serverAuth$/u)
  assert.match(
    said(server + client).join(),
    /^has a broken chain: certificate 1 is not issued by certificate 2$/u,
  )
})
