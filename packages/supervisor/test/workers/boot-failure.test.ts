// What an operator reads when a worker cannot start, and which program has the port that it wants.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { basename } from 'node:path'
import { test, type TestContext } from 'node:test'
import { freePort, portOf } from '../../../../test/harness/ports.ts'
import { portHolders } from '../../src/os/listening-sockets.ts'
import { describeBootFailure } from '../../src/workers/boot-failure.ts'

const US = `node .*${basename(import.meta.filename)} \\(pid ${process.pid}\\)`

async function listenOn(t: TestContext, host: string): Promise<number> {
  const server = net.createServer().listen({ host, port: 0, ipv6Only: true })
  t.after(() => server.close())
  await once(server, 'listening')
  return portOf(server)
}

async function taken(address: string, port: number): Promise<string> {
  const { message, code, hint } = await describeBootFailure({
    reason: 'bind',
    address,
    port,
    code: 'EADDRINUSE',
  })
  assert.equal(code, 'BIND')
  assert.equal(hint, 'stop that program, or configure another port')
  return message
}

async function said(failure: Parameters<typeof describeBootFailure>[0]): Promise<string> {
  const { code, message, hint = '' } = await describeBootFailure(failure)
  return `${code}: ${message} / ${hint}`
}

test('a port that is taken is said with the program that has it, where that program excludes us', async (t) => {
  const port = await listenOn(t, '127.0.0.1')
  const by = new RegExp(`^port ${port} on 127\\.0\\.0\\.1 is taken by ${US}$`, 'u')
  assert.match(await taken('127.0.0.1', port), by)
  assert.match(await taken('0.0.0.0', port), new RegExp(` by ${US}$`, 'u'))
  // Neither another address nor another family is in its way.
  assert.equal(await taken('127.0.0.2', port), `port ${port} on 127.0.0.2 is taken`)
  assert.equal(await taken('::1', port), `port ${port} on ::1 is taken`)
})

test('a socket on every address of a family excludes each of them', async (t) => {
  const port = await listenOn(t, '0.0.0.0')
  assert.match(await taken('127.0.0.1', port), new RegExp(` by ${US}$`, 'u'))
  assert.equal(await taken('::1', port), `port ${port} on ::1 is taken`)
})

test('of a port that nobody has there is no holder', async () => {
  for await (const { name } of portHolders(await freePort())) assert.fail(name)
})

test('every reason has its words, and what can be done about it a hint', async () => {
  const bind = { reason: 'bind', address: '192.0.2.1', port: 443 } as const
  assert.match(
    await said({ ...bind, code: 'EACCES' }),
    /^BIND: port 443 on 192\.0\.2\.1 needs more rights .*CAP_NET_BIND_SERVICE/u,
  )
  assert.match(await said({ ...bind, code: 'EADDRNOTAVAIL' }), /^BIND: 192\.0\.2\.1 is not .*`ip address`/u)
  assert.equal(
    await said({ ...bind, code: 'ENFILE' }),
    'BIND: port 443 on 192.0.2.1 cannot be bound: ENFILE / ',
  )
  assert.equal(
    await said({ reason: 'internal', message: 'x' }),
    'WORKER_BOOT: a worker could not start: x / ',
  )
  assert.equal(await said(undefined), 'WORKER_BOOT: a worker died while it was starting / ')
})
