// 10,000 sites of one listener: started, told apart, with limits of their own, and changed in place.
import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { askAdmin } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { startProxy } from '../../harness/proxy.ts'
import { memoryOf } from '../../harness/processes.ts'
import { connect2, requestOn } from '../../harness/clients/request.ts'
import { TestCa } from '../../harness/tls-material.ts'

const COUNT = 10_000
const SHORT_LIMIT = 10

function nameOf(index: number): string {
  return `site-${index}-of-a-customer-with-a-long-name.many.test`
}

async function startNamed(t: TestContext, name: string): Promise<HttpOrigin> {
  return await HttpOrigin.start(t, (incoming, response) => {
    incoming.resume().on('end', () => response.end(name))
  })
}

test('10,000 sites: each its own upstream and body limit, exact before wildcard; a reload changes one in place', async (t) => {
  const [first, second, third] = [
    await startNamed(t, 'first'),
    await startNamed(t, 'second'),
    await startNamed(t, 'third'),
  ]
  const ca = await TestCa.create(t)
  const leaf = await ca.issue(['*.many.test'])
  const port = await freePort()
  const sites = Array.from({ length: COUNT - 2 }, (_, i) => ({ host: nameOf(i), upstream: first.upstream }))
  const startMs = performance.now()
  const proxy = await startProxy(t, {
    workers: 1,
    body: { limit_bytes: 100 },
    listeners: [
      {
        bind_addr: '127.0.0.1',
        https_port: port,
        http_port: 0,
        tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
        sites: [
          ...sites,
          { host: 'Exact.many.test', upstream: second.upstream, body: { limit_bytes: SHORT_LIMIT } },
          { host: '*.many.test', upstream: third.upstream },
        ],
      },
    ],
  })
  const startedMs = performance.now() - startMs
  const workers = proxy.workerPids()
  const session = connect2({ port, host: nameOf(0), ca: ca.certPem })
  t.after(() => session.destroy())
  const ask = async (host: string, body?: string): Promise<string> => {
    const method = body === undefined ? 'GET' : 'POST'
    const options = { port, host, ca: ca.certPem, method, ...(body === undefined ? {} : { body }) }
    const answer = await requestOn(session, options)
    return answer.status === 200 ? answer.body : String(answer.status)
  }

  for (const index of [0, 1, 4_999, COUNT - 3]) assert.equal(await ask(nameOf(index)), 'first')
  assert.equal(await ask(nameOf(1).toUpperCase()), 'first')
  assert.equal(await ask('exact.many.test'), 'second')
  assert.equal(await ask('whatever.many.test'), 'third')
  assert.equal(await ask(nameOf(COUNT)), 'third')
  assert.equal(await ask('two.labels.many.test'), '404')
  const long = 'x'.repeat(SHORT_LIMIT + 1)
  assert.equal(await ask('exact.many.test', long), '413')
  assert.equal(await ask('exact.many.test', long.slice(1)), 'second')
  assert.equal(await ask(nameOf(7), long), 'first')
  assert.equal(await ask('whatever.many.test', 'x'.repeat(101)), '413')

  // One site moves and may take less; the others, the worker and this very connection stay.
  const before = readFileSync(proxy.configPath, 'utf8')
  assert.ok(statSync(proxy.configPath).size > 1024 * 1024)
  const moved = before.replace(
    `host = "${nameOf(5_000)}"\nupstream = "${first.upstream}"\n`,
    `host = "${nameOf(5_000)}"\nupstream = "${second.upstream}"\nbody = { limit_bytes = ${SHORT_LIMIT} }\n`,
  )
  assert.notEqual(moved, before)
  writeFileSync(proxy.configPath, moved)
  const reloadMs = performance.now()
  const result = await askAdmin(join(proxy.directory, 'admin.sock'), 'reload')
  const reloadedMs = performance.now() - reloadMs
  assert.deepEqual([result.status, result.workers, result.sites], ['ok', 'kept', COUNT])
  assert.equal(await ask(nameOf(5_000)), 'second')
  assert.equal(await ask(nameOf(5_000), long), '413')
  assert.equal(await ask(nameOf(4_999), long), 'first')
  assert.deepEqual(proxy.workerPids(), workers)
  assert.equal(session.closed, false)
  const rssMb = Math.round(memoryOf(workers[0] ?? 0).rssBytes / 1e6)
  t.diagnostic(
    `ready after ${Math.round(startedMs)} ms, reloaded in ${Math.round(reloadedMs)} ms, worker ${rssMb} MB`,
  )
})
