// `certs` and `renew` while a real CA orders, refuses and issues.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { acmeListener } from '../../harness/acme/listener.ts'
import { askAdmin, runCommand } from '../../harness/admin.ts'
import { rateLimited } from '../../harness/acme/answers.ts'
import { suggestAt } from '../../harness/acme/renewal-info.ts'
import { startAcmeFaultProxy } from '../../harness/acme/fault-proxy.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { startPebble } from '../../harness/acme/pebble.ts'
import type { FileConfig } from '../../harness/proxy.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'
import { waitFor } from '../../harness/wait.ts'

test(
  'a bad name added by a reload is named with the reason, and renew mends it when it is good',
  { timeout: 120_000 },
  async (t) => {
    const pebble = await startPebble(t)
    const ca = await startAcmeFaultProxy(t, pebble)
    ca.suggest = suggestAt(0.5)
    await pebble.setAddresses('bad.example', [])
    const cacheDir = join(temporaryDirectory(t), 'cache')
    const configFor = (names: readonly string[]): FileConfig => ({
      listeners: [acmeListener({ ca, names, cacheDir, httpsPort: pebble.tlsPort })],
    })
    const proxy = await startProxy(t, configFor(['good.example']))
    const socket = join(proxy.directory, 'admin.sock')
    const certificate = async () => (await askAdmin(socket, 'certs')).certificates[0]

    const first = await waitFor('the CA to have suggested a window', async () => {
      const shown = await certificate()
      return shown.renewal_window !== null && shown
    })
    assert.deepEqual(
      [first.names, first.missing, first.failure, first.state],
      [['good.example'], [], null, 'valid'],
    )
    assert.match(first.issuer, /^Pebble Intermediate/u)
    const [start, end, next] = [first.renewal_window.start, first.renewal_window.end, first.next_attempt_at]
    assert.ok(start <= next && next <= end, `${next} lies between ${start} and ${end}`)
    const { ordered, issued, failed } = first.counts
    assert.deepEqual([ordered, issued, failed], [1, 1, 0])

    writeConfig(proxy.directory, configFor(['good.example', 'bad.example']))
    const reloaded = await askAdmin(socket, 'reload')
    assert.deepEqual([reloaded.status, reloaded.certificates], ['ok', 'pending'])
    const broken = await waitFor('the failure to be shown', async () => {
      const shown = await certificate()
      return shown.failure !== null && shown
    })
    assert.deepEqual([broken.names, broken.missing], [['good.example'], ['bad.example']])
    assert.deepEqual(broken.failure.names, ['bad.example'])
    assert.match(broken.failure.problem.type, /^urn:ietf:params:acme:error:/u)
    assert.match(broken.failure.reason, /bad\.example/u)
    assert.ok(Date.parse(broken.failure.next_attempt_at) > Date.parse(broken.failure.at))
    assert.equal(broken.counts.failed, 1)
    const table = await runCommand(proxy, 'certs')
    assert.match(table.stdout, /not in the certificate: bad\.example\n.*failed .* ago: bad\.example: /u)

    const refused = await askAdmin(socket, 'renew bad.example')
    assert.match(refused.message, /bad\.example/u)
    assert.equal((await certificate()).serial, broken.serial)

    await pebble.setAddresses('bad.example', ['127.0.0.1'])
    const renewed = await askAdmin(socket, 'renew bad.example')
    assert.equal(renewed.status, 'ok', renewed.message)
    const mended = await certificate()
    assert.deepEqual(
      [mended.names.toSorted(), mended.missing, mended.failure],
      [['bad.example', 'good.example'], [], null],
    )
    assert.deepEqual(renewed.renewed[0].serials, [mended.serial])
    for (const { serials } of mended.workers) assert.deepEqual(serials, [mended.serial])

    ca.inject({ on: 'newOrder', answer: rateLimited('3600') })
    const limited = await askAdmin(socket, 'renew good.example')
    assert.match(limited.message, /rateLimited/u)
    const before = ca.requestsOf('newOrder').length
    const again = await askAdmin(socket, 'renew good.example')
    assert.match(again.message, /asks to wait until \d{4}-/u)
    assert.equal(ca.requestsOf('newOrder').length, before, 'nothing is ordered against the wish of the CA')
  },
)
