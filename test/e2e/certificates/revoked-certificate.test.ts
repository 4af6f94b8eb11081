// ARI, in the whole program: a certificate that the CA has revoked is replaced while it serves, within one
// look; and what was agreed with the CA outlives a restart. The rest of it is in test/integration.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { suggestAt } from '../../harness/acme/renewal-info.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import { startProxy } from '../../harness/proxy.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { waitFor } from '../../harness/wait.ts'

const HOST = 'one.example'
/** The CA is asked ten times in a lifetime, and half of it is the time to renew anyway. */
const LIFETIME_SECS = 100

test(
  'ari: what the CA revokes is replaced while it serves, with a new key; a restart orders nothing, and keeps the moment agreed',
  { timeout: 120_000 },
  async (t) => {
    const pebble = await startPebble(t, { certificateLifetimeSecs: LIFETIME_SECS })
    const ca = await startAcmeFaultProxy(t, pebble)
    ca.suggest = suggestAt(0.5)
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const cacheDir = join(temporaryDirectory(t), 'cache')
    const config = {
      listeners: [
        acmeListener({
          ca,
          names: [HOST],
          cacheDir,
          httpsPort: pebble.tlsPort,
          httpPort: pebble.httpPort,
          upstream: origin.upstream,
        }),
      ],
    }
    const shown = async (): Promise<string | undefined> => {
      const outcome = await handshake({ port: pebble.tlsPort, serverName: HOST, alpn: ['http/1.1'] })
      return outcome.result === 'connected' ? outcome.serial : undefined
    }

    const proxy = await startProxy(t, config)
    await proxy.stdout.waitForLine(/INFO CERT_RENEWAL_INFO .*window_start=/u)
    const [old] = ca.certificates
    assert.equal(await shown(), old?.serial)

    ca.suggest = (certificate) => suggestAt(certificate.id === old?.id ? -1 : 0.5)(certificate)
    await waitFor('the successor is served', async () => (await shown()) !== old?.serial, 40_000)
    const successor = ca.certificates.at(-1)
    assert.equal(await shown(), successor?.serial)
    assert.notEqual(successor?.keyDigest, old?.keyDigest)
    const order = ca.requestsOf('newOrder').at(-1)
    assert.ok(order)
    assert.equal(order.replaces, old?.id)
    assert.ok(
      order.atMs < (old?.notBeforeMs ?? 0) + (LIFETIME_SECS / 2 - 3) * 1000,
      'long before it would have been due',
    )

    // Its own window has been agreed: the next start keeps to it.
    const agreed = await waitFor('the next window is agreed', async () => {
      const record: unknown = JSON.parse(await readFile(join(cacheDir, 'renewal.json'), 'utf8'))
      return typeof record === 'object' && record !== null && 'chosenMs' in record && record.chosenMs
    })
    await proxy.stop()
    const orders = ca.requestsOf('newOrder').length
    const again = await startProxy(t, config)
    assert.equal(await shown(), successor?.serial)
    await again.stop()
    assert.equal(ca.requestsOf('newOrder').length, orders)
    const record = await readFile(join(cacheDir, 'renewal.json'), 'utf8')
    assert.ok(record.includes(`"chosenMs": ${String(agreed)}`))
  },
)
