// How an upstream is reached over TLS, beyond what requests show: what is trusted, and for how long.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { NameResolver } from '@reverse-proxy/shared/names/name-resolver'
import { UpstreamConnector } from '../../src/upstream/connections/connector.ts'
import { UpstreamTrust } from '../../src/upstream/connections/trust.ts'
import { makeCertificate } from '../support/certificates.ts'
import { listen } from '../../../../test/harness/ports.ts'

const TIMEOUT = { timeout: 15_000 }

test('roots that are no longer trusted end the resumption of what they vouched for', TIMEOUT, async (t) => {
  const [good, other] = [makeCertificate(['localhost']), makeCertificate(['localhost'])]
  const server = tls.createServer({ cert: good.certPem, key: good.keyPem }, (socket) => {
    socket.on('error', () => {})
    socket.write('x')
  })
  const port = await listen(t, server)
  const trust = new UpstreamTrust()
  const connector = new UpstreamConnector(
    { scheme: 'https', host: 'localhost', port, caPem: undefined },
    trust,
    new NameResolver(),
  )
  const connect = async (): Promise<Socket> =>
    await new Promise((resolve, reject) =>
      connector.connect(5_000, (error, socket) => {
        if (socket === null) reject(error ?? new Error('neither'))
        else resolve(socket)
      }),
    )
  const resumed = async (): Promise<boolean> => {
    const socket = await connect()
    // Tickets come before it.
    await once(socket, 'data')
    const isResumed = socket instanceof tls.TLSSocket && socket.isSessionReused()
    socket.destroy()
    return isResumed
  }
  trust.configure({ systemRoots: [good.certPem], caPems: new Set() })
  assert.deepEqual([await resumed(), await resumed()], [false, true])
  trust.configure({ systemRoots: [other.certPem], caPems: new Set() })
  await assert.rejects(resumed(), { code: 'UPSTREAM_TLS' })
  trust.configure({ systemRoots: [other.certPem, good.certPem], caPems: new Set() })
  assert.equal(await resumed(), false)
})
