// Access behind a real load balancer that speaks the PROXY protocol: addresses and passwords decide, and a reload changes
// them in place.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../../harness/admin.ts'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin, valuesOf, type SeenRequest } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { Program } from '../../harness/program.ts'
import { startProxy, writeConfig } from '../../harness/proxy.ts'
import { request, request2 } from '../../harness/clients/request.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'
import { findProgram } from '../../requirements.ts'

const HOST = 'site.test'

test('behind HAProxy: addresses and passwords decide, and a reload changes them in place', async (t) => {
  const seen: SeenRequest[] = []
  const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
  const directory = temporaryDirectory(t)
  const usersPath = join(directory, 'users')
  const htpasswd = (user: string, password: string): void =>
    writeFileSync(usersPath, execFileSync('htpasswd', ['-nbB', '-C', '5', user, password]))
  htpasswd('ann', 'first')
  const ca = await TestCa.create(t)
  const leaf = await ca.issue([HOST])
  const [httpsPort, httpPort, balancerPort] = [await freePort(), await freePort(), await freePort()]
  const config = (site: object) => ({
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: httpsPort,
        http_port: httpPort,
        trusted_proxies: ['127.0.0.1'],
        proxy_protocol: true,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: [{ host: HOST, upstream: origin.upstream, ...site }],
      },
    ],
  })
  const proxy = await startProxy(t, config({ basic_auth_file: usersPath }))
  const haproxyPath = join(directory, 'haproxy.cfg')
  const times = 'timeout connect 30s\n timeout client 60s\n timeout server 60s'
  writeFileSync(
    haproxyPath,
    `defaults\n mode tcp\n ${times}\nlisten lb\n bind 127.0.0.2:${balancerPort}\n server a 127.0.0.1:${httpsPort} send-proxy-v2\n`,
  )
  const balancer = new Program(t, findProgram('haproxy') ?? 'haproxy', ['-db', '-f', haproxyPath])
  await waitFor('HAProxy to listen', async () => await connects(balancerPort), 30_000)
  assert.ok(balancer.pid > 0)

  const target = { host: HOST, port: balancerPort, ca: ca.certPem, address: '127.0.0.2' }
  assert.equal((await request(target)).status, 401)
  assert.equal((await request({ ...target, headers: as('ann:wrong') })).status, 401)
  assert.equal((await request({ ...target, headers: as('ann:first') })).status, 200)
  assert.equal((await request2({ ...target, headers: as('ann:first') })).status, 200)
  seen.push(...origin.requests)
  assert.equal(seen.length, 2)
  for (const one of seen) {
    assert.deepEqual([valuesOf(one, 'remote-user'), valuesOf(one, 'authorization')], [['ann'], []])
    // HAProxy was asked from 127.0.0.1, and says so.
    assert.deepEqual(valuesOf(one, 'x-real-ip'), ['127.0.0.1'])
  }

  // A new password holds from the reload on, and the old one no longer, remembered or not.
  htpasswd('ann', 'second')
  assert.equal((await runCommand(proxy, 'reload')).code, 0)
  assert.equal((await request({ ...target, headers: as('ann:first') })).status, 401)
  assert.equal((await request({ ...target, headers: as('ann:second') })).status, 200)

  // Addresses come before passwords.
  writeConfig(proxy.directory, config({ basic_auth_file: usersPath, deny: ['127.0.0.0/8'] }))
  assert.equal((await runCommand(proxy, 'reload')).code, 0)
  assert.equal((await request({ ...target, headers: as('ann:second') })).status, 403)

  // A mistake changes nothing.
  writeFileSync(usersPath, 'ann:plain text\n')
  const { code, stderr } = await runCommand(proxy, 'reload')
  assert.equal(code, 1)
  assert.match(stderr, /users line 1: the hash of "ann" is not accepted/u)
  assert.equal((await request({ ...target, headers: as('ann:second') })).status, 403)
  assert.match(
    proxy.stdout.text,
    / WARN AUTH_FAILED client_ip=127\.0\.0\.1 host=site\.test path=\/ status=401/u,
  )
  assert.doesNotMatch(proxy.stdout.text, /first|second|wrong/u)
})

/** Fields of Basic authentication. */
function as(credentials: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }
}

async function connects(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.2', port })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
