// A directory for one test with a configuration in it, and the certificates that fixtures name.
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { LoadOptions } from '../../src/config/load.ts'

export const OPTIONS: LoadOptions = {
  allowWildcardBindFlag: false,
  environment: { isRoot: false, env: {}, homeDir: '/home/test' },
}

/** What every configuration has to have besides listeners. */
export const HEAD = `
[rate_limit]
requests_per_second = 10
burst = 20

[body]
limit_bytes = 1_000
`

export async function makeDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'reverse-proxy-config-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export async function writeConfig(directory: string, text: string): Promise<string> {
  const path = join(directory, 'config.toml')
  await writeFile(path, text)
  return path
}

/** `pem/a.*` is for a.example, `pem/b.*` for *.b.example; `pem/encrypted.key` is the key of a with a passphrase, `pem/corrupt.pem` no certificate. */
export async function writeCertificates(directory: string): Promise<void> {
  const pem = join(directory, 'pem')
  await mkdir(pem)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: pem, stdio: 'ignore' })
  for (const [name, host] of [
    ['a', 'a.example'],
    ['b', '*.b.example'],
  ]) {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', `${name}.key`]
    const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=DNS:${host}`]
    openssl('req', '-x509', ...key, ...subject, '-days', '2', '-out', `${name}.pem`)
  }
  await writeFile(join(pem, 'corrupt.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  openssl('pkey', '-in', 'a.key', '-aes256', '-passout', 'pass:secret', '-out', 'encrypted.key')
}
