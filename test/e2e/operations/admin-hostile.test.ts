// Whatever is done to the admin socket of a running proxy, the next honest question is answered,
// nobody who is served notices, and nothing is left of it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { askAdmin } from '../../harness/admin.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { memoryOf, openFilesOf } from '../../harness/processes.ts'
import { request } from '../../harness/clients/request.ts'
import { serveSite } from '../../harness/site.ts'
import { IS_FULL } from '../../harness/size.ts'
import { waitFor } from '../../harness/wait.ts'

const CONNECTIONS = IS_FULL ? 10_000 : 300
/** At a time: ten are let in, the rest have to evict each other. */
const CROWD = 50
/** Of the supervisor, for all of them together: what its heap takes before it is worth a collection. */
const GROWTH_BYTES = 128 * 1024 * 1024

/** Each gets a socket that has just connected, and leaves it as it likes. */
const ATTACKS: Readonly<Record<string, (socket: net.Socket) => void>> = {
  silent: () => {},
  oversized: (socket) => socket.write('x'.repeat(64 * 1024)),
  'oversized line': (socket) => socket.end(`${'x'.repeat(64 * 1024)}\n`),
  binary: (socket) => socket.write(randomBytes(512)),
  'binary line': (socket) => socket.write(Buffer.concat([randomBytes(64), Buffer.from('\n')])),
  'half a command': (socket) => socket.write('rest'),
  'half-closed': (socket) => socket.end('rest'),
  'closed at once': (socket) => socket.destroy(),
  'gone before the answer': (socket) => {
    socket.write('certs\n')
    socket.destroy()
  },
  'deaf to the answer': (socket) => {
    socket.pause()
    socket.write('certs\n')
  },
  'many commands': (socket) => socket.write('status\n'.repeat(500)),
  'another protocol': (socket) => socket.write('POST /reload HTTP/1.1\r\nHost: x\r\n\r\n'),
}

const ADVICE_TO_ROOT = /WORKERS_AS_ROOT|^ {4}hint: set user|^1 warning$/u

test(
  `${CONNECTIONS} hostile connections: the next honest one is answered, and nothing is left of them`,
  { timeout: 300_000 },
  async (t) => {
    const origin = await HttpOrigin.start(t, (_incoming, response) => response.end('served'))
    const { proxy, target } = await serveSite(t, { upstream: origin.upstream })
    const socketPath = join(proxy.directory, 'admin.sock')
    const before = await askAdmin(socketPath, 'status')
    const [descriptorsBefore, { rssBytes }] = [openFilesOf(proxy.pid), memoryOf(proxy.pid)]

    const attacks = Object.values(ATTACKS)
    const open = new Set<net.Socket>()
    t.after(() => open.forEach((socket) => socket.destroy()))
    for (let i = 0; i < CONNECTIONS; i++) {
      const socket = net.connect({ path: socketPath, allowHalfOpen: true })
      socket.on('error', () => {})
      open.add(socket)
      socket.once('close', () => open.delete(socket))
      await connectedOrRefused(socket)
      attacks[i % attacks.length]?.(socket)
      if (open.size > CROWD) open.values().next().value?.destroy()
      if (i % 100 === 0) assert.equal((await request(target)).status, 200)
    }

    // Not before the kernel has room for one more connection to wait.
    const after = await waitFor('an answer', async () => await askAdmin(socketPath, 'status'))
    const { phase, ready, workers, generation, last_reload: reload } = after
    assert.deepEqual(
      [phase, ready, workers, generation, reload],
      [before.phase, before.ready, before.workers, before.generation, before.last_reload],
    )
    for (const socket of open) socket.destroy()
    await waitFor('every connection to be gone', () => openFilesOf(proxy.pid) <= descriptorsBefore)
    assert.ok(memoryOf(proxy.pid).rssBytes - rssBytes < GROWTH_BYTES)
    assert.doesNotMatch(proxy.stdout.text, / ERROR /u)
    // The advice to root comes before the attack; nothing may come of that.
    const remarks = proxy.stderr.lines.filter((line) => !ADVICE_TO_ROOT.test(line))
    assert.deepEqual(remarks, [])
  },
)

/** More than the kernel lets wait are refused: an attacker's own loss. */
async function connectedOrRefused(socket: net.Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve)
    socket.once('close', resolve)
  })
}
