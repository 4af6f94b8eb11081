// A reload adds names, or whole listeners, that can be had or cannot, while everything is busy.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { askAdmin } from '../../harness/admin.ts'
import { Gate } from '../../harness/gate.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { freePort } from '../../harness/ports.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { visit, Visitors } from '../../harness/clients/visits.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 90_000 }
const OLD = ['one.test', 'two.test']
const GOOD = 'good.test'
const BAD = 'bad.test'
const WORKERS = 2

test(
  'added by reload under load: the good name serves, the bad one is named, the old ones feel nothing',
  TEST,
  async (t) => {
    const pebble = await startPebble(t)
    await pebble.setAddresses(BAD, [])
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const port = pebble.tlsPort
    const configWith = (names: readonly string[]): FileConfig => ({
      workers: WORKERS,
      listeners: [acmeListener({ ca: pebble, names, httpsPort: port, upstream: origin.upstream })],
    })
    const proxy = await startProxy(t, configWith(OLD))
    const ask = async (command: string) => await askAdmin(join(proxy.directory, 'admin.sock'), command)
    const pids = proxy.workerPids()
    const visitors = new Visitors(4, (turn) => ({
      port,
      host: OLD[turn % OLD.length] ?? '',
      protocol: turn % 3 === 0 ? 'h2' : 'http/1.1',
    }))

    writeConfig(proxy.directory, configWith([...OLD, BAD, GOOD]))
    const { status, workers, certificates: state } = await ask('reload')
    assert.deepEqual([status, workers, state], ['ok', 'kept', 'pending'])
    await waitFor(
      'the good name to be served',
      async () => {
        const seen = await handshake({ port, serverName: GOOD, alpn: ['http/1.1'] })
        if (seen.result === 'failed') assert.equal(seen.code, 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
        return seen.result === 'connected'
      },
      30_000,
    )
    await visit({ port, host: GOOD })

    // One worker serves it a moment before all have confirmed it.
    const report = await waitFor('the certificate to be reported', async () => {
      const [first] = (await ask('certs')).certificates
      return first.names.includes(GOOD) && first
    })
    assert.deepEqual(report.names.toSorted(), [GOOD, ...OLD].toSorted())
    assert.deepEqual(report.missing, [BAD])
    assert.deepEqual(report.failure.names, [BAD])
    assert.match(report.failure.reason, /could not validate bad\.test \(.*resolve/u)
    assert.deepEqual(report.failure.problem.subproblems[0].identifier, { type: 'dns', value: BAD })
    assert.ok(Date.parse(report.failure.next_attempt_at) > Date.now())
    assert.ok(proxy.stdout.lines.some((line) => / WARN CERT_FAILED .*failed_names=bad\.test /u.test(line)))
    assert.deepEqual(await handshake({ port, serverName: BAD }), {
      result: 'failed',
      code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
    })
    assert.equal(pebble.requests('newOrder'), 3, 'the first, the full set, the set without the bad name')

    // Mended: whoever says so need not wait for the next attempt.
    await pebble.setAddresses(BAD, ['127.0.0.1'])
    assert.equal((await ask(`renew ${BAD}`)).status, 'ok')
    await visit({ port, host: BAD })
    const [mended] = (await ask('certs')).certificates
    assert.deepEqual([mended.missing, mended.failure], [[], null])

    await visitors.stop()
    assert.ok(visitors.visits.length > 0)
    assert.deepEqual(visitors.errors, [])
    assert.deepEqual(proxy.workerPids(), pids)
  },
)

test(
  'listeners added by reload under load: one whose order is under way, one whose order fails; workers are replaced, and the old listener feels nothing',
  TEST,
  async (t) => {
    const pebble = await startPebble(t)
    await pebble.setAddresses(BAD, [])
    const [oldPort, newPort, badPort] = [await freePort(), await freePort(), await freePort()]
    const gate = await Gate.start(t, { port: pebble.tlsPort, targetPort: newPort })
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const { upstream } = origin
    const [host = ''] = OLD
    const old = {
      bind_addr: '127.0.0.1',
      https_port: oldPort,
      http_port: 0,
      tls: { mode: 'internal' },
      sites: [{ host, upstream }],
    }
    const added = acmeListener({ ca: pebble, names: [GOOD], httpsPort: newPort, upstream })
    const hopeless = acmeListener({ ca: pebble, names: [BAD], httpsPort: badPort, upstream, cacheDir: 'bad' })
    const proxy = await startProxy(t, { workers: WORKERS, listeners: [old] })
    const ask = async (command: string) => await askAdmin(join(proxy.directory, 'admin.sock'), command)
    // Over HTTP/2 a draining worker may ask to repeat a stream (RFC 9113 8.7), which these visitors do not do.
    const visitors = new Visitors(4, () => ({ port: oldPort, host, protocol: 'http/1.1' }))
    t.after(async () => await visitors.stop())
    const unserved = { result: 'failed', code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' }

    writeConfig(proxy.directory, { workers: WORKERS, listeners: [old, added, hopeless] })
    const { status, workers, certificates } = await ask('reload')
    assert.deepEqual([status, workers, certificates], ['ok', 'replaced', 'pending'])
    await gate.waitForArrival()
    await proxy.stdout.waitForLine(/ ERROR CERT_FAILED .*failed_names=bad\.test /u)
    for (const state of ['replaced by the reload', 'replaced while the order is under way']) {
      assert.deepEqual(await handshake({ port: newPort, serverName: GOOD }), unserved, state)
      assert.deepEqual(await handshake({ port: badPort, serverName: BAD }), unserved, state)
      const proof = await handshake({ port: newPort, serverName: GOOD, alpn: ['acme-tls/1'] })
      assert.ok(proof.result === 'connected' && proof.isChallenge, state)
      assert.equal((await ask('restart')).status, 'ok')
    }

    gate.open()
    await waitFor(
      'the new listener to serve',
      async () => (await handshake({ port: newPort, serverName: GOOD })).result === 'connected',
      30_000,
    )
    await visit({ port: newPort, host: GOOD })
    assert.equal((await ask('restart')).status, 'ok')
    await visit({ port: newPort, host: GOOD })
    const { ready, certificates: certificatesAfter } = await ask('status')
    assert.deepEqual([ready, certificatesAfter.pending], [false, 1], 'one listener has no certificate yet')
    await visitors.stop()
    assert.ok(visitors.visits.length > 0)
    assert.deepEqual(visitors.errors, [])
  },
)
