// Certificates that cannot be served, and files that have changed when a reload is taken back.
// What serves goes on serving, also in a worker that starts afterwards.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig, Proxy } from '../../harness/proxy.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'
import { connectRaw } from '../../harness/clients/raw-client.ts'
import type { CertificatePair } from '../../harness/tls-material.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const HOST = 'site.test'

function makeWeakPair(certPath: string, keyPath: string): void {
  const subject = ['-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`]
  const options = ['req', '-x509', '-newkey', 'rsa:1024', '-noenc', '-keyout', keyPath, '-out', certPath]
  execFileSync('openssl', [...options, ...subject], { stdio: 'ignore' })
}

function serialOf({ certPem }: CertificatePair): string {
  return new X509Certificate(certPem).serialNumber
}

async function replaceWorker(proxy: Proxy): Promise<void> {
  const [pid = 0] = proxy.workerPids()
  const count = readyCount(proxy)
  process.kill(pid, 'SIGKILL')
  await waitFor('a successor', () => readyCount(proxy) > count)
}

function readyCount(proxy: Proxy): number {
  return proxy.stdout.lines.filter((line) => line.includes(' WORKER_READY ')).length
}

test('a certificate too weak for TLS, and a reload that is taken back: neither worker nor successor loses what it serves', async (t) => {
  const directory = temporaryDirectory(t)
  const ca = await TestCa.create(t)
  const [first, second] = [await ca.issue([HOST]), await ca.issue([HOST])]
  const files = { cert_path: join(directory, 'site.pem'), key_path: join(directory, 'site.key') }
  copyFileSync(first.certPath, files.cert_path)
  copyFileSync(first.keyPath, files.key_path)
  const httpsPort = await freePort()
  const listenerOf = (tls: FileConfig, port = httpsPort): FileConfig => ({
    bind_addr: '127.0.0.1',
    https_port: port,
    http_port: 0,
    tls,
    sites: [{ host: port === httpsPort ? HOST : 'other.test', upstream: '127.0.0.1:1' }],
  })
  const write = (...listeners: FileConfig[]): string => writeConfig(directory, { workers: 1, listeners })
  const proxy = await startProxy(
    t,
    { workers: 1, listeners: [listenerOf({ mode: 'manual', ...files })] },
    { directory },
  )
  const serialServed = async (): Promise<string | undefined> => {
    const { socket } = await connectRaw(t, httpsPort, { serverName: HOST })
    return socket.getPeerX509Certificate()?.serialNumber
  }
  const assertServed = async (expected: CertificatePair): Promise<void> => {
    assert.equal(await serialServed(), serialOf(expected))
    await replaceWorker(proxy)
    assert.equal(await serialServed(), serialOf(expected))
  }

  makeWeakPair(files.cert_path, files.key_path)
  const checked = await runCommand(proxy, 'validate')
  assert.equal(checked.code, 1)
  assert.match(
    checked.stderr,
    / error CERTIFICATE_INVALID .*cert_path: .*TLS cannot use it: .*key too small/u,
  )
  proxy.signal('SIGHUP')
  await proxy.stdout.waitForLine(/ ERROR CONFIG_RELOAD .*CERTIFICATE_INVALID .*key too small/u)
  await assertServed(first)

  // Good files under other names, but no fresh worker can start: back to what was loaded, not to what lies there.
  const holder = net.createServer().listen(await freePort(), '127.0.0.1')
  t.after(() => holder.close())
  await once(holder, 'listening')
  const address = holder.address()
  const taken = address !== null && typeof address === 'object' ? address.port : 0
  const secondFiles = { mode: 'manual', cert_path: second.certPath, key_path: second.keyPath }
  write(listenerOf(secondFiles), listenerOf({ mode: 'internal' }, taken))
  const refused = await runCommand(proxy, 'reload')
  assert.match(refused.stderr, new RegExp(`port ${taken} on 127.0.0.1 is taken`, 'u'))
  await assertServed(first)

  write(listenerOf(secondFiles))
  assert.equal((await runCommand(proxy, 'reload')).code, 0)
  await assertServed(second)
})
