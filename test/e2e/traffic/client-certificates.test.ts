// Certificates of clients: who gets in, what the upstream is told, and that no session or reload is a way around them.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import https from 'node:https'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import tls from 'node:tls'
import { X509Certificate } from 'node:crypto'
import { runCommand } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin, valuesOf, type SeenRequest } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'
import { TestCa } from '../../harness/tls-material.ts'

const FIELDS = ['x-client-cert-subject', 'x-client-cert-fingerprint']
const SPOOFED = { 'X-Client-Cert-Subject': 'CN=root', x_client_cert_fingerprint: 'ab' }

interface ClientPair {
  readonly cert: string
  readonly key: string
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** A root, and certificates that it issues. */
function clientCa(directory: string, name: string) {
  const path = (file: string): string => join(directory, `${name}-${file}`)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    path('ca.key'),
    '-out',
    path('ca.pem'),
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  )
  return {
    path: path('ca.pem'),
    issue(subject: string, days = '2'): ClientPair {
      openssl('req', ...key, '-utf8', '-keyout', path('key'), '-out', path('csr'), '-subj', subject)
      const issuer = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial']
      openssl('x509', '-req', '-in', path('csr'), ...issuer, '-days', days, '-out', path('pem'))
      return { cert: readFileSync(path('pem'), 'utf8'), key: readFileSync(path('key'), 'utf8') }
    },
  }
}

test(
  'client certificates: required or requested, told to the upstream, and changed by a reload',
  { timeout: 60_000 },
  async (t) => {
    const origin = await HttpOrigin.start(t, (_, response) => response.end('served'))
    const directory = temporaryDirectory(t)
    const [own, other] = [clientCa(directory, 'own'), clientCa(directory, 'other')]
    const ann = own.issue('/O=Example, Inc./CN=Ann Müller')
    const ben = own.issue('/CN=ben')
    const stranger = other.issue('/CN=ann')
    const expired = own.issue('/CN=late', '-1')
    const ca = await TestCa.create(t)
    const [required, requested, open] = [await freePort(), await freePort(), await freePort()]
    const hosts = new Map([
      [required, 'required.test'],
      [requested, 'requested.test'],
      [open, 'open.test'],
    ])
    const hostOf = (port: number): string => hosts.get(port) ?? ''
    const leaf = await ca.issue([...hosts.values()])
    const listener = (port: number, keys: object) => ({
      bind_addr: '127.0.0.1',
      https_port: port,
      http_port: 0,
      tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
      sites: [{ host: hostOf(port), upstream: origin.upstream }],
      ...keys,
    })
    const configOf = (roots: string) => ({
      listeners: [
        listener(required, { client_ca_file: roots }),
        listener(requested, { client_ca_file: roots, client_auth: 'request' }),
        listener(open, {}),
      ],
    })
    const proxy = await startProxy(t, configOf(own.path))
    const trust = (port: number) => ({ host: '127.0.0.1', port, servername: hostOf(port), ca: ca.certPem })

    const get = async (
      port: number,
      pair?: ClientPair,
      extra: tls.ConnectionOptions = {},
    ): Promise<string> => {
      const sent = https.get({
        ...trust(port),
        ...pair,
        ...extra,
        headers: { Host: hostOf(port), ...SPOOFED },
        agent: false,
      })
      const [response] = await once(sent, 'response')
      return String(await buffer(response))
    }
    const get2 = async (port: number, pair?: ClientPair): Promise<number> => {
      const session = http2.connect(`https://127.0.0.1:${port}`, { ...trust(port), ...pair })
      session.on('error', () => {})
      try {
        const stream = session.request({ ':authority': hostOf(port), ...SPOOFED })
        const closed = once(stream, 'close').then(() => assert.fail('closed without a response'))
        const [head] = await Promise.race([once(stream, 'response'), closed])
        return head[':status']
      } finally {
        session.destroy()
      }
    }
    const annIs = [
      'CN=Ann Müller,O=Example\\, Inc.',
      new X509Certificate(ann.cert).fingerprint256.replaceAll(':', '').toLowerCase(),
    ]

    assert.equal(await get(required, ann), 'served')
    assert.equal(await get2(required, ann), 200)
    assert.equal(await get(requested, ann), 'served')
    assert.deepEqual(origin.requests.splice(0).map(told), [annIs, annIs, annIs])
    assert.equal(await get(requested), 'served')
    assert.equal(await get2(requested), 200)
    assert.equal(await get(open, ann), 'served')
    assert.deepEqual(origin.requests.splice(0).map(told), [
      ['', ''],
      ['', ''],
      ['', ''],
    ])

    await assert.rejects(get(required), 'without a certificate')
    for (const port of [required, requested]) {
      await assert.rejects(get(port, stranger), 'of another root')
      await assert.rejects(get(port, expired), 'that has expired')
      await assert.rejects(get2(port, stranger))
    }

    // A session of a listener without certificates is worth nothing here, and one with them forgets nobody.
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const from of [open, requested]) {
        const session = await sessionOf({ ...trust(from), maxVersion })
        await assert.rejects(get(required, undefined, { session, maxVersion }))
      }
      const session = await sessionOf({ ...trust(open), ...ann, maxVersion })
      assert.equal(await get(required, ben, { session, maxVersion }), 'served')
      assert.equal(told(origin.requests.pop())[0], 'CN=ben')
    }

    // Another root, in place.
    writeConfig(proxy.directory, configOf(other.path))
    assert.equal((await runCommand(proxy, 'reload')).code, 0)
    await assert.rejects(get(required, ann))
    assert.equal(await get(required, stranger), 'served')
    assert.equal(told(origin.requests.pop())[0], 'CN=ann')
    await proxy.stdout.waitForLine(/ INFO TLS_FAILED client_ip=127\.0\.0\.1 error="client certificate: /u)
  },
)

/** The values of the two fields. */
function told(request: SeenRequest | undefined): string[] {
  assert.ok(request !== undefined)
  assert.equal(valuesOf(request, 'x_client_cert_fingerprint').length, 0)
  return FIELDS.map((name) => Buffer.from(valuesOf(request, name).join('|'), 'latin1').toString())
}

/** A session to resume; undefined if the server gives none. */
async function sessionOf(options: tls.ConnectionOptions): Promise<Buffer | undefined> {
  const socket = tls.connect(options)
  await once(socket, 'secureConnect')
  socket.write(`GET / HTTP/1.1\r\nHost: ${options.servername}\r\nConnection: close\r\n\r\n`)
  let session = socket.getSession()
  socket.on('session', (newest) => (session = newest))
  socket.resume()
  await once(socket, 'close')
  return session
}
