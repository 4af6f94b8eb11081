import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { IS_FULL } from '../../../../test/harness/size.ts'
import { CommandError } from '../../src/management/admin/protocol.ts'
import { connectTo, exchange, readAll, startAdmin } from '../support/admin.ts'

const HOSTILE_CONNECTIONS = IS_FULL ? 10_000 : 300

test('one command, one line of JSON back, and the connection ends', async (t) => {
  const { path } = await startAdmin(t)
  const answer = await exchange(t, path, 'reload\n')
  assert.equal(answer.indexOf('\n'), answer.length - 1)
  assert.deepEqual(JSON.parse(answer), {
    status: 'ok',
    sites: 1,
    workers: 'kept',
    certificates: 'current',
    warnings: [],
  })
})

test('a client may close its side before it reads the answer', async (t) => {
  const { path } = await startAdmin(t)
  const socket = await connectTo(t, path)
  socket.end('status\n')
  assert.equal(JSON.parse(await readAll(socket)).status, 'ok')
})

test('a command may come in pieces; spaces around it and a carriage return do not matter', async (t) => {
  const { path } = await startAdmin(t)
  const socket = await connectTo(t, path)
  for (const piece of ['  re', 'load ', '\r\n']) socket.write(piece)
  assert.equal(JSON.parse(await readAll(socket)).status, 'ok')
})

test('what is no command is refused, whatever it is', async (t) => {
  const { path } = await startAdmin(t)
  const unknown = '{"status":"error","message":"unknown command"}\n'
  for (const line of [
    '',
    'frobnicate',
    '__proto__',
    'constructor',
    'RELOAD',
    '{"command":"reload"}',
    '\0\u00ff',
  ])
    assert.equal(await exchange(t, path, `${line}\n`), unknown, JSON.stringify(line))
  assert.equal(JSON.parse(await exchange(t, path, 'renew\n')).message, 'usage: renew NAME')
  assert.equal(JSON.parse(await exchange(t, path, 'status now\n')).message, 'usage: status')
})

test('the operand reaches the handler', async (t) => {
  const seen: (readonly string[])[] = []
  const { path } = await startAdmin(t, {
    renew: async (args) => {
      seen.push(args)
      return { renewed: [] }
    },
  })
  await exchange(t, path, 'renew a.example\n')
  assert.deepEqual(seen, [['a.example']])
})

test('a command has 4 KiB, its newline included', async (t) => {
  const { path } = await startAdmin(t)
  const fits = `${'x'.repeat(4095)}\n`
  assert.equal(JSON.parse(await exchange(t, path, fits)).message, 'unknown command')
  for (const tooLong of [`x${fits}`, 'x'.repeat(100_000), Buffer.alloc(1_000_000)])
    assert.equal(JSON.parse(await exchange(t, path, tooLong)).message, 'command too long')
})

test('a command has 5 seconds', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { path } = await startAdmin(t)
  const socket = await connectTo(t, path)
  // Seen by the other side once a later connection has been answered.
  socket.write('relo')
  await exchange(t, path, 'status\n')
  t.mock.timers.tick(4_999)
  assert.equal(socket.readableLength, 0)
  t.mock.timers.tick(1)
  assert.match(await readAll(socket), /timed out/)
})

test('a client that goes without a word, or in the middle of one, is no trouble', async (t) => {
  const { path } = await startAdmin(t)
  for (const part of ['', 'relo']) {
    const socket = await connectTo(t, path)
    socket.end(part)
    const answer = await readAll(socket)
    if (part === '') assert.equal(answer, '')
    else assert.match(answer, /ends with a newline/)
  }
  assert.equal(JSON.parse(await exchange(t, path, 'status\n')).status, 'ok')
})

test('an eleventh connection evicts the oldest that has sent no full command, and no other', async (t) => {
  const running = Promise.withResolvers<void>()
  const { path } = await startAdmin(t, {
    renew: async () => {
      await running.promise
      return { renewed: [] }
    },
  })
  const busy = await connectTo(t, path)
  busy.write('renew a.example\n')
  const silent: net.Socket[] = []
  for (let i = 0; i < 9; i++) silent.push(await connectTo(t, path))
  assert.equal(JSON.parse(await exchange(t, path, 'status\n')).status, 'ok')
  const [oldest] = silent
  assert.ok(oldest)
  assert.match(await readAll(oldest), /too many connections/)
  for (const socket of silent.slice(1)) assert.equal(socket.readableLength, 0)
  running.resolve()
  assert.equal(JSON.parse(await readAll(busy)).status, 'ok')
})

test('when ten commands are being carried out, an eleventh client is told so', async (t) => {
  const begun = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  let running = 0
  const { path } = await startAdmin(t, {
    renew: async () => {
      if (++running === 10) begun.resolve()
      await finish.promise
      return { renewed: [] }
    },
  })
  const busy = Array.from({ length: 10 }, async () => await exchange(t, path, 'renew a.example\n'))
  await begun.promise
  assert.match(await exchange(t, path, 'status\n'), /too many commands/)
  // It is refused before it has sent its command, and must not have a broken pipe for an answer.
  const written = Promise.withResolvers<unknown>()
  const eleventh = await connectTo(t, path)
  const refusal = once(eleventh, 'data')
  await once(eleventh, 'end')
  assert.match(String(await refusal), /too many commands/)
  eleventh.write('status\n', (error) => written.resolve(error ?? undefined))
  assert.equal(await written.promise, undefined)
  finish.resolve()
  for (const answer of await Promise.all(busy)) assert.equal(JSON.parse(answer).status, 'ok')
})

test('the owner is told everything, paths among it; what has failed is in the log, too', async (t) => {
  const issue = {
    file: '/etc/reverse-proxy/config.toml',
    line: 3,
    column: 1,
    severity: 'error',
    code: 'FILE_UNREADABLE',
    rules: [5],
    path: 'listeners[0].tls.key_path',
    message: '/root/a b/key.pem does not exist',
    hint: 'check the spelling',
  } as const
  const { path, log } = await startAdmin(t, {
    reload: async () => {
      throw new CommandError('cannot read /etc/reverse-proxy/config.toml', [issue])
    },
    restart: async () => {
      throw new Error('open /var/lib/x')
    },
  })
  assert.deepEqual(JSON.parse(await exchange(t, path, 'reload\n')), {
    status: 'error',
    message: 'cannot read /etc/reverse-proxy/config.toml',
    errors: [issue],
  })
  assert.deepEqual(JSON.parse(await exchange(t, path, 'restart\n')), {
    status: 'error',
    message: 'it failed: open /var/lib/x; the log has the rest',
  })
  const failed = log.lines.find(({ level }) => level === 'error')
  assert.match(String(failed?.['error']), /open \/var\/lib\/x/)
})

test('the socket is for its owner alone', async (t) => {
  const { path } = await startAdmin(t, {}, join(temporaryDirectory(t), 'run', 'admin.sock'))
  assert.equal(lstatSync(path).mode & 0o777, 0o600)
  assert.equal(lstatSync(dirname(path)).mode & 0o777, 0o700)
  assert.deepEqual(readdirSync(dirname(path)), ['admin.sock'])
})

test('nothing wider than 0600 ever stands at the path, also under a umask of 0', async (t) => {
  const umask = process.umask(0)
  t.after(() => process.umask(umask))
  const { path } = await startAdmin(t)
  assert.equal(lstatSync(path).mode & 0o777, 0o600)
})

test('a socket that nobody answers on is replaced', async (t) => {
  const path = join(temporaryDirectory(t), 'admin.sock')
  await leaveStaleSocket(path)
  const { admin } = await startAdmin(t, {}, path)
  assert.notEqual(admin, undefined)
  assert.equal(JSON.parse(await exchange(t, path, 'status\n')).status, 'ok')
})

test('a socket that somebody answers on is left to him, and the proxy does without', async (t) => {
  const first = await startAdmin(t)
  const second = await startAdmin(t, {}, first.path)
  assert.equal(second.admin, undefined)
  assert.equal(second.log.lines[0]?.level, 'warn')
  assert.match(String(second.log.lines[0]?.['error']), /another process listens/)
  assert.equal(JSON.parse(await exchange(t, first.path, 'status\n')).status, 'ok')
})

test('of many supervisors that start at once on a stale socket, one gets it and it works', async (t) => {
  const path = join(temporaryDirectory(t), 'admin.sock')
  await leaveStaleSocket(path)
  const started = await Promise.all(Array.from({ length: 8 }, async () => await startAdmin(t, {}, path)))
  assert.ok(started.filter(({ admin }) => admin !== undefined).length >= 1)
  assert.equal(JSON.parse(await exchange(t, path, 'status\n')).status, 'ok')
  assert.deepEqual(readdirSync(dirname(path)), ['admin.sock'])
})

test('a file, a directory, a symbolic link: left alone, not followed', async (t) => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'file')
  writeFileSync(file, 'precious')
  const folder = join(directory, 'folder')
  mkdirSync(folder)
  const stale = join(directory, 'stale.sock')
  await leaveStaleSocket(stale)
  const links = { toFile: file, toSocket: stale, toNothing: join(directory, 'nothing') }
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(directory, name))

  for (const name of ['file', 'folder', ...Object.keys(links)]) {
    const { admin, log } = await startAdmin(t, {}, join(directory, name))
    assert.equal(admin, undefined, name)
    assert.match(String(log.lines[0]?.['error']), /not a socket/, name)
  }
  assert.equal(readFileSync(file, 'utf8'), 'precious')
  for (const name of Object.keys(links)) assert.ok(lstatSync(join(directory, name)).isSymbolicLink(), name)
  assert.ok(lstatSync(stale).isSocket())
  assert.equal(existsSync(links.toNothing), false)
})

test('a path that no socket can have, or no directory: a warning, no more', async (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'file'), '')
  const long = await startAdmin(t, {}, join(directory, 'x'.repeat(120)))
  assert.match(String(long.log.lines[0]?.['error']), /too long/)
  const blocked = await startAdmin(t, {}, join(directory, 'file', 'admin.sock'))
  assert.equal(blocked.admin, undefined)
  assert.deepEqual(readdirSync(directory), ['file'])
})

test('close removes the socket, but not what has taken its place', async (t) => {
  const first = await startAdmin(t)
  await first.admin?.close()
  await first.admin?.close()
  assert.equal(existsSync(first.path), false)

  const second = await startAdmin(t)
  rmSync(second.path)
  const other = net.createServer().listen(second.path)
  t.after(() => other.close())
  await once(other, 'listening')
  await second.admin?.close()
  assert.ok(lstatSync(second.path).isSocket())
})

test('close tells those who are waiting', async (t) => {
  const { path, admin } = await startAdmin(t, { renew: async () => await new Promise(() => {}) })
  const busy = exchange(t, path, 'renew a.example\n')
  const silent = await connectTo(t, path)
  await exchange(t, path, 'status\n')
  await admin?.close()
  assert.match(await busy, /stopping/)
  assert.match(await readAll(silent), /stopping/)
})

test(`it survives ${HOSTILE_CONNECTIONS} hostile connections and answers the next honest one`, async (t) => {
  const { path } = await startAdmin(t)
  const attacks: ((socket: net.Socket) => void)[] = [
    (socket) => socket.write('x'.repeat(10_000)),
    () => {},
    (socket) => socket.write(randomBytes(512)),
    (socket) => socket.end('relo'),
    (socket) => socket.destroy(),
    (socket) => {
      socket.write('status\nstatus\nstatus\n')
      socket.destroy()
    },
  ]
  const open: net.Socket[] = []
  for (let i = 0; i < HOSTILE_CONNECTIONS; i++) {
    const socket = net.connect({ path })
    // Refused when the kernel's queue is full: an attacker's own loss.
    const settled = Promise.race([once(socket, 'connect'), once(socket, 'error')])
    socket.on('error', () => {})
    await settled
    attacks[i % attacks.length]?.(socket)
    open.push(socket)
    if (open.length > 100) open.shift()?.destroy()
  }
  assert.equal(JSON.parse(await exchange(t, path, 'status\n')).status, 'ok')
  for (const socket of open) socket.destroy()
})

/** What a supervisor leaves behind that was killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const bound = `${path}.bound`
  const server = net.createServer().listen(bound)
  await once(server, 'listening')
  renameSync(bound, path)
  server.close()
  await once(server, 'close')
}
