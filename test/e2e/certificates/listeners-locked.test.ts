// A listener whose own state another process holds locked: it waits alone, and a shutdown does not wait with it.
import { askAdmin } from '../../harness/admin.ts'
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { lockDirectory } from '../../../packages/supervisor/src/certificates/storage/lock.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { Proxy } from '../../harness/proxy.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { request } from '../../harness/clients/request.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const TEST = { timeout: 120_000 }
const WAIT_MS = 40_000
const HOST = 'a.example'

test(
  'a listener that waits for a lock at the start keeps no other from being served, and no shutdown waiting',
  TEST,
  async (t) => {
    const directory = temporaryDirectory(t)
    const testCa = await TestCa.create(t)
    const { certPath, keyPath } = await testCa.issue([HOST])
    const { upstream } = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const port = await freePort()
    const root = join(directory, 'state', 'internal-ca', 'root')
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const lockRoot = async (): Promise<() => Promise<void>> => {
      const lock = await lockDirectory(root, { signal: t.signal, onWaiting: () => {} })
      t.after(async () => await lock.release())
      return async () => await lock.release()
    }
    const listeners = [
      {
        bind_addr: '127.0.0.1',
        https_port: port,
        http_port: 0,
        tls: { mode: 'manual', cert_path: certPath, key_path: keyPath },
        sites: [{ host: HOST, upstream }],
      },
      {
        bind_addr: '127.0.0.2',
        https_port: port,
        http_port: 0,
        tls: { mode: 'internal' },
        sites: [{ host: 'b.example', upstream }],
      },
    ]
    const isServed = async (): Promise<boolean> => {
      const { status } = await request({ host: HOST, address: '127.0.0.1', port, ca: testCa.certPem })
      return status === 200
    }
    const ofB = async (): Promise<unknown> =>
      await handshake({ port, host: '127.0.0.2', serverName: 'b.example' })

    const release = await lockRoot()
    const first = new Proxy(t, { listeners }, { directory })
    await waitFor('the other listener to be served', isServed, WAIT_MS)
    assert.partialDeepStrictEqual(await ofB(), { code: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' })
    assert.doesNotMatch(first.stdout.text, / INFO READY /u)
    const renewal = askAdmin(join(directory, 'admin.sock'), 'renew b.example').catch(() => undefined)
    await first.stdout.waitForLine(/ REQUEST .*host=a\.example/u, WAIT_MS)
    assert.deepEqual(await first.stop(), { code: 0, signal: null })
    await first.assertNoProcessLeft()
    await renewal

    const second = new Proxy(t, { listeners }, { directory })
    await waitFor('the other listener to be served', isServed, WAIT_MS)
    await release()
    await second.ready(WAIT_MS)
    assert.notDeepEqual(await ofB(), await handshake({ port, host: '127.0.0.2', serverName: 'c.example' }))
    assert.deepEqual(await second.stop(), { code: 0, signal: null })
  },
)
