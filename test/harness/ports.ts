// TCP ports for programs under test, never handed out twice while test files run in parallel.
// They lie below the range from which the kernel takes ports for outgoing connections.
import { once } from 'node:events'
import net from 'node:net'
import type { Lifetime } from './directory.ts'

const FIRST_PORT = 20_000
const PORT_COUNT = 12_000

// The process holds one abstract Unix socket per port it was given: a lock that needs no cleaning up.
let cursor = FIRST_PORT + ((process.pid * 37) % PORT_COUNT)

/** A port nobody listens on, on 127.0.0.1 and on ::1, reserved until this process ends. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORT_COUNT; tries++) {
    const port = cursor
    cursor = FIRST_PORT + ((cursor - FIRST_PORT + 1) % PORT_COUNT)
    if (!(await holdLock(port))) continue
    if ((await isFree(port, '127.0.0.1')) && (await isFree(port, '::1'))) return port
  }
  throw new Error('no free port is left for tests')
}

async function holdLock(port: number): Promise<boolean> {
  const lock = net.createServer()
  lock.unref()
  return await listens(lock, { path: `\0reverse-proxy-test-port-${port}` })
}

async function isFree(port: number, host: string): Promise<boolean> {
  const probe = net.createServer()
  const free = await listens(probe, { port, host })
  if (free) {
    probe.close()
    await once(probe, 'close')
  }
  return free
}

async function listens(server: net.Server, options: net.ListenOptions): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  server.once('error', () => resolve(false))
  server.listen(options, () => resolve(true))
  return await promise
}

/** Listens on a free port of 127.0.0.1 until the test is over; returns the port. */
export async function listen(t: Lifetime, server: net.Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => void server.close())
  return portOf(server)
}

/** The port of a server that listens on TCP. */
export function portOf(server: net.Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on TCP')
  return address.port
}
