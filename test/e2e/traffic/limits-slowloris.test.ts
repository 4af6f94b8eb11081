// The limits against the tool people attack with: slow heads, slow bodies, slow reading and long lists of ranges,
// all at once and from many connections, on both ports. Whoever is honest is served meanwhile, and of the rest nothing stays.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { openFilesOf } from '../../harness/processes.ts'
import { Program } from '../../harness/program.ts'
import { startProxy } from '../../harness/proxy.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { IS_FULL } from '../../harness/size.ts'
import { startTlsForwarder } from '../../harness/tls-forwarder.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'
import { findProgram } from '../../requirements.ts'

const CONNECTIONS = IS_FULL ? 1_000 : 100
const SECONDS = IS_FULL ? 20 : 4
/** slowhttptest knows the name of the site from its URL alone, and connects to it. */
const HOST = 'localhost'
/** Larger than what lies between the proxy and a client that does not read. */
const PAGE = Buffer.alloc(2 * 1024 * 1024, 'x')

interface Attack {
  readonly name: string
  readonly args: readonly string[]
  readonly isPlain?: true
}

const ATTACKS: readonly Attack[] = [
  { name: 'slow heads', args: ['-H', '-i', '1'] },
  { name: 'slow bodies', args: ['-B', '-i', '4', '-s', '100000'] },
  { name: 'slow reading', args: ['-X', '-n', '5', '-z', '1', '-w', '512', '-y', '1024'] },
  { name: 'ranges', args: ['-R', '-t', 'HEAD', '-a', '1', '-b', '3000'] },
  { name: 'slow heads on the redirect port', args: ['-H', '-i', '1'], isPlain: true },
]

function attack(t: TestContext, port: number, args: readonly string[]): Program {
  const tool = findProgram('slowhttptest')
  assert.ok(tool !== undefined)
  const size = ['-c', `${CONNECTIONS}`, '-r', `${CONNECTIONS / 2}`, '-l', `${SECONDS}`, '-p', '5']
  return new Program(t, tool, [...args, ...size, '-u', `http://${HOST}:${port}/`])
}
const HONEST_CLIENTS = 4

test(
  `slowloris in four forms from ${CONNECTIONS} connections each: an honest client is served throughout`,
  { timeout: 120_000 },
  async (t) => {
    const origin = await HttpOrigin.start(t, (incoming, response) => {
      incoming.resume()
      if (incoming.url === '/honest') response.end('ok')
      else response.end(PAGE)
    })
    const ca = await TestCa.create(t)
    const leaf = await ca.issue([HOST])
    const [httpsPort, httpPort] = [await freePort(), await freePort()]
    const proxy = await startProxy(t, {
      limits: {
        connections_per_client: 8 * CONNECTIONS,
        tls_handshake_timeout_secs: 3,
        request_header_timeout_secs: 2,
        body_stall_timeout_secs: 2,
        keep_alive_timeout_secs: 2,
      },
      listeners: [
        {
          bind_addr: '127.0.0.1',
          https_port: httpsPort,
          http_port: httpPort,
          tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
          sites: [{ host: HOST, upstream: origin.upstream }],
        },
      ],
    })
    const target = { host: HOST, port: httpsPort, ca: ca.certPem, path: '/honest' }
    for (let i = 0; i < 20; i++) await request(target)
    const before = proxy.workerPids().map((pid) => openFilesOf(pid))

    const forwarderPort = await startTlsForwarder(t, target)
    const attackers = ATTACKS.map(({ args, isPlain }) =>
      attack(t, isPlain === true ? httpPort : forwarderPort, args),
    )
    let served = 0
    const askUntilTheEnd = async (): Promise<void> => {
      while (attackers.some(({ hasExited }) => !hasExited)) {
        for (const ask of [request, request2]) {
          const { status, body } = await ask(target)
          assert.deepEqual([status, body], [200, 'ok'])
          served += 1
        }
      }
    }
    // Several at once: on a busy machine the requests of one take long.
    await Promise.all(Array.from({ length: HONEST_CLIENTS }, askUntilTheEnd))
    t.diagnostic(`${served} honest requests`)
    for (const [index, { name }] of ATTACKS.entries()) {
      const text = stripVTControlCharacters(attackers[index]?.stdout.text ?? '')
      assert.match(text, /service available: +YES/, `${name}: ${text}`)
      const counts = /closed: +(\d+)/.exec(text.slice(text.lastIndexOf('initializing')))
      t.diagnostic(
        `${name}: ${counts?.[1]} of ${CONNECTIONS} closed, ${/Exit status: ([^\n]*)/.exec(text)?.[1]}`,
      )
    }
    assert.ok(served >= 10, `${served} honest requests`)
    await waitFor('every connection of the attackers to be gone', () =>
      proxy.workerPids().every((pid, index) => openFilesOf(pid) <= (before[index] ?? 0) + 8),
    )
  },
)
