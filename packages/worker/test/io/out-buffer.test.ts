// What is written during a turn leaves as one, and memory is used again only when nobody reads it any more.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test, type TestContext } from 'node:test'
import { buffers, BUFFER_BYTES } from '../../src/io/buffer-pool.ts'
import { OutBuffer } from '../../src/io/out-buffer.ts'
import { listen } from '../../../../test/harness/ports.ts'
import { waitFor } from '../../../../test/harness/wait.ts'

const TIMEOUT = { timeout: 20_000 }
const POISON = 0xdd

async function connected(t: TestContext) {
  const accepted = Promise.withResolvers<net.Socket>()
  const server = net.createServer((socket) => accepted.resolve(socket))
  const client = net.connect(await listen(t, server), '127.0.0.1')
  await once(client, 'connect')
  const socket = await accepted.promise
  t.after(() => {
    client.destroy()
    socket.destroy()
  })
  return { client, socket }
}

/** Whatever is given back is overwritten at once. */
function poisonPool(t: TestContext): { readonly given: () => number } {
  let given = 0
  const give = buffers.give.bind(buffers)
  t.mock.method(buffers, 'give', (buffer: Buffer) => {
    given += 1
    buffer.fill(POISON)
    give(buffer)
  })
  return { given: () => given }
}

test('pieces of one turn are one write, in their order', TIMEOUT, async (t) => {
  const { client, socket } = await connected(t)
  const write = t.mock.method(socket, 'write')
  const out = new OutBuffer(socket)
  out.text('caf\u00e9 ')
  out.bytes(Buffer.from('xbodyx'), 1, 5)
  const reserved = out.reserve(2)
  reserved[out.end] = 0x21
  out.end += 1
  assert.equal(write.mock.callCount(), 0)
  const [bytes]: Buffer[] = await once(client, 'data')
  assert.equal(bytes?.toString('latin1'), 'caf\u00e9 body!')
  assert.equal(write.mock.callCount(), 1)
})

test(
  'any amount arrives whole, from memory that is overwritten as soon as it is given back',
  TIMEOUT,
  async (t) => {
    const { given } = poisonPool(t)
    const { client, socket } = await connected(t)
    const out = new OutBuffer(socket)
    let received = Buffer.alloc(0)
    client.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])))
    const expected: Buffer[] = []
    const source = Buffer.alloc(100_000)
    for (let i = 0; i < 60; i++) {
      source.fill(i)
      const length = (i * 7_919) % source.length
      expected.push(Buffer.from(source.subarray(0, length)))
      out.bytes(source, 0, length)
      // The source is ours again.
      source.fill(POISON)
      if (out.isBlocked) await once(socket, 'drain')
    }
    const text = 'y'.repeat(3 * BUFFER_BYTES + 5)
    out.text(text)
    expected.push(Buffer.from(text))
    const all = Buffer.concat(expected)
    await waitFor('all of it', () => received.length === all.length)
    assert.ok(received.equals(all))
    await waitFor('memory to be given back', () => given() >= all.length / BUFFER_BYTES)
  },
)

test('a socket that is gone takes nothing, and keeps nothing', TIMEOUT, async (t) => {
  const { given } = poisonPool(t)
  const { socket } = await connected(t)
  const out = new OutBuffer(socket)
  socket.destroy()
  out.text('late')
  await waitFor('it to be given back', () => given() === 1)
})
