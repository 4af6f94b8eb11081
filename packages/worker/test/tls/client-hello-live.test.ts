// ClientHellos as real clients send them today.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import net from 'node:net'
import { Duplex } from 'node:stream'
import { test, type TestContext } from 'node:test'
import tls from 'node:tls'
import { parseClientHello, type ClientHello } from '../../src/tls/client-hello.ts'
import { makeCertificate } from '../support/certificates.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { next } from '../support/sockets.ts'

const TIMEOUT = { timeout: 20_000 }

/** What the one client of `connect(port)` sends first; each of its prefixes has been parsed, too. */
async function capture(
  t: TestContext,
  connect: (port: number) => void,
): Promise<{ hello: ClientHello; bytes: Buffer }> {
  const server = net.createServer()
  connect(await listen(t, server))
  const socket = await next<net.Socket>(server, 'connection')
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  let bytes = Buffer.alloc(0)
  for (;;) {
    bytes = Buffer.concat([bytes, await next<Buffer>(socket, 'data')])
    const parsed = parseClientHello(bytes)
    if (parsed.status === 'need-more') continue
    assert.ok(parsed.status === 'complete')
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(parseClientHello(bytes.subarray(0, length)).status, 'need-more')
    }
    const { serverName, alpn } = parsed
    return { hello: { serverName, alpn }, bytes }
  }
}

function run(t: TestContext, command: string, args: readonly string[]): void {
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'ignore'] })
  t.after(() => child.kill())
}

const sClient =
  (t: TestContext, ...args: readonly string[]) =>
  (port: number) =>
    run(t, 'openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args])

const curl =
  (t: TestContext, ...args: readonly string[]) =>
  (port: number) =>
    run(t, 'curl', ['-ks', '--resolve', `a.example:${port}:127.0.0.1`, ...args, `https://a.example:${port}/`])

const node = (t: TestContext, options: tls.ConnectionOptions) => (port: number) => {
  const socket = tls.connect({ ...options, host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.on('error', () => {})
  t.after(() => socket.destroy())
}

test('openssl s_client', TIMEOUT, async (t) => {
  const plain = await capture(t, sClient(t, '-noservername'))
  assert.deepEqual(plain.hello, { serverName: undefined, alpn: [] })
  const named = await capture(t, sClient(t, '-servername', 'A.Example', '-alpn', 'h2,http/1.1', '-tls1_2'))
  assert.deepEqual(named.hello, { serverName: 'a.example', alpn: ['h2', 'http/1.1'] })
  const challenge = await capture(
    t,
    sClient(t, '-servername', '1.0.0.127.in-addr.arpa', '-alpn', 'acme-tls/1'),
  )
  assert.deepEqual(challenge.hello, { serverName: '1.0.0.127.in-addr.arpa', alpn: ['acme-tls/1'] })
})

test('curl', TIMEOUT, async (t) => {
  assert.deepEqual((await capture(t, curl(t))).hello, { serverName: 'a.example', alpn: ['h2', 'http/1.1'] })
  const old = await capture(t, curl(t, '--http1.1', '--tls-max', '1.2'))
  assert.deepEqual(old.hello, { serverName: 'a.example', alpn: ['http/1.1'] })
})

test('node, whose hello with a post-quantum key share needs two segments', TIMEOUT, async (t) => {
  const modern = await capture(
    t,
    node(t, { servername: 'a.example', ALPNProtocols: ['h2'], ecdhCurve: 'X25519MLKEM768:X25519' }),
  )
  assert.deepEqual(modern.hello, { serverName: 'a.example', alpn: ['h2'] })
  assert.ok(modern.bytes.length > 1460)
  const old = await capture(t, node(t, { maxVersion: 'TLSv1.2' }))
  assert.deepEqual(old.hello, { serverName: undefined, alpn: [] })
})

/** What Node's TLS makes of a ClientHello: undefined if it refuses it before it has looked at both. */
async function understoodByTls(bytes: Buffer, context: tls.SecureContext): Promise<ClientHello | undefined> {
  let serverName: string | undefined
  let alpn: readonly string[] | undefined
  await new Promise<void>((resolve) => {
    const wire = new Duplex({ read() {}, write: () => resolve() })
    const socket = new tls.TLSSocket(wire, {
      isServer: true,
      secureContext: context,
      SNICallback: (name, done) => {
        serverName = name.toLowerCase()
        done(null, context)
      },
      ALPNCallback: ({ protocols }) => {
        alpn = protocols
        return protocols[0]
      },
    })
    socket.on('error', () => resolve())
    wire.push(bytes)
  })
  return serverName === undefined || alpn === undefined ? undefined : { serverName, alpn }
}

test(
  'the TLS library reads the same name and list out of a hello with one byte changed',
  TIMEOUT,
  async (t) => {
    const { certPem, keyPem } = makeCertificate(['a.example'])
    const context = tls.createSecureContext({ cert: certPem, key: keyPem })
    const options = { servername: 'a.example', ALPNProtocols: ['h2', 'acme-tls/1'] }
    let compared = 0
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const { bytes } = await capture(t, node(t, { ...options, maxVersion, ecdhCurve: 'X25519' }))
      for (let position = 0; position < bytes.length; position++) {
        const changed = Buffer.from(bytes)
        changed[position] = (bytes.readUInt8(position) + 1) & 0x7f // Node shows protocol names as 7-bit ASCII
        const parsed = parseClientHello(changed)
        if (parsed.status !== 'complete') continue
        const understood = await understoodByTls(changed, context)
        if (understood === undefined) continue
        assert.deepEqual({ serverName: parsed.serverName, alpn: parsed.alpn }, understood, `byte ${position}`)
        compared += 1
      }
    }
    assert.ok(compared > 200, `${compared} compared`)
  },
)
