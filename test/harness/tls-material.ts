// Certificates of the tests' own: made by openssl, so that nothing under test checks itself.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Lifetime } from './directory.ts'
import { temporaryDirectory } from './directory.ts'

const run = promisify(execFile)

export interface CertificatePair {
  readonly certPath: string
  readonly keyPath: string
  readonly certPem: string
  readonly keyPem: string
}

/** A CA in a temporary directory, gone when the test is over. */
export class TestCa {
  readonly #directory: string
  readonly #root: CertificatePair
  #issued = 0

  private constructor(directory: string, root: CertificatePair) {
    this.#directory = directory
    this.#root = root
  }

  static async create(t: Lifetime): Promise<TestCa> {
    const directory = temporaryDirectory(t)
    const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
    return new TestCa(directory, await selfSigned(directory, 'ca', '/CN=Test CA', extensions, []))
  }

  /** The root, for clients to trust. */
  get certPem(): string {
    return this.#root.certPem
  }

  get certPath(): string {
    return this.#root.certPath
  }

  /** A leaf for DNS names and IP addresses, valid for two days. */
  async issue(names: readonly string[]): Promise<CertificatePair> {
    this.#issued++
    const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`))
    const { certPath, keyPath } = this.#root
    return await selfSigned(
      this.#directory,
      `leaf-${this.#issued}`,
      `/CN=${names[0]}`,
      [`subjectAltName=${alternatives.join(',')}`, 'basicConstraints=critical,CA:FALSE'],
      ['-CA', certPath, '-CAkey', keyPath],
    )
  }
}

async function selfSigned(
  directory: string,
  name: string,
  subject: string,
  extensions: readonly string[],
  issuer: readonly string[],
): Promise<CertificatePair> {
  const certPath = join(directory, `${name}.pem`)
  const keyPath = join(directory, `${name}.key`)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', keyPath]
  const added = extensions.flatMap((extension) => ['-addext', extension])
  await run('openssl', [
    'req',
    '-x509',
    ...key,
    '-out',
    certPath,
    '-days',
    '2',
    '-subj',
    subject,
    ...added,
    ...issuer,
  ])
  const [certPem, keyPem] = await Promise.all([readFile(certPath, 'utf8'), readFile(keyPath, 'utf8')])
  return { certPath, keyPath, certPem, keyPem }
}
