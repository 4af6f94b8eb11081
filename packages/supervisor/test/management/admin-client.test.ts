import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { askAdmin } from '../../src/management/admin/client.ts'
import { CommandError } from '../../src/management/admin/protocol.ts'
import { ask } from '../../src/cli/commands/ask.ts'
import { findAdminSocketPath } from '../../src/management/admin/socket-path.ts'
import { STATUS, startAdmin } from '../support/admin.ts'

test('the client gets what the handler said', async (t) => {
  const { path } = await startAdmin(t)
  assert.deepEqual(await askAdmin(path, 'status'), { status: 'ok', ...STATUS })
})

test('the client gets a refusal as an answer, not as an exception', async (t) => {
  const { path } = await startAdmin(t, {
    renew: async ([name]) => {
      throw new CommandError(`no certificate has ${name}`)
    },
  })
  assert.deepEqual(await askAdmin(path, 'renew', ['b.example']), {
    status: 'error',
    message: 'no certificate has b.example',
  })
})

test('the client reads an answer of any length', async (t) => {
  const names = Array.from({ length: 50_000 }, (_, i) => `host-${i}.example`)
  const { path } = await startAdmin(t, {
    reload: async () => ({ sites: 1, workers: 'kept', certificates: 'current', warnings: names }),
  })
  const answer = await askAdmin(path, 'reload')
  assert.ok(answer.status === 'ok')
  assert.deepEqual(answer.warnings, names)
})

test('nothing there, nobody there, not ours: each said clearly, with what to do', async (t) => {
  const directory = temporaryDirectory(t)
  const missing = join(directory, 'missing.sock')
  await assert.rejects(askAdmin(missing, 'status'), {
    code: 'ADMIN',
    message: /no proxy is running here/,
    hint: /--config/,
  })

  const file = join(directory, 'file')
  writeFileSync(file, '')
  symlinkSync(missing, join(directory, 'link'))
  for (const [obstacle, says] of [
    [file, /is a file, not a socket/],
    [directory, /is a directory, not a socket/],
    [join(directory, 'link'), /is a symbolic link, not a socket/],
  ] as const)
    await assert.rejects(askAdmin(obstacle, 'status'), { code: 'ADMIN', message: says, hint: /move it away/ })

  for (const [name, says] of Object.entries({
    text: 'SSH-2.0-x\n',
    list: '[]\n',
    number: '7\n',
    half: '{"status":"error"}',
  })) {
    const path = await startStranger(t, join(directory, name), (socket) => socket.end(says))
    await assert.rejects(
      askAdmin(path, 'status'),
      { code: 'ADMIN', message: /did not send a valid reply; is it reverse-proxy/ },
      name,
    )
  }
  const dumb = await startStranger(t, join(directory, 'dumb'), (socket) => socket.end())
  await assert.rejects(askAdmin(dumb, 'status'), { code: 'ADMIN', message: /without a reply/ })
  const silent = await startStranger(t, join(directory, 'silent'), () => {})
  await assert.rejects(askAdmin(silent, 'status', [], { timeoutMs: 50 }), {
    code: 'ADMIN',
    message: /did not reply in time/,
  })
})

test('who may not ask is told so', async (t) => {
  const { path } = await startAdmin(t)
  chmodSync(path, 0o000)
  chmodSync(dirname(path), 0o755)
  // Modes mean nothing to root.
  const isRoot = process.getuid?.() === 0
  if (isRoot) process.seteuid?.(65534)
  try {
    await assert.rejects(askAdmin(path, 'status'), {
      code: 'ADMIN',
      message: /belongs to another user/,
      hint: /sudo/,
    })
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})

test('the path of the socket is found also in a file that has become invalid', async (t) => {
  const directory = temporaryDirectory(t)
  const environment = { isRoot: false, env: {}, homeDir: '/home/x' }
  const file = join(directory, 'config.toml')
  const pathOf = async (text: string): Promise<string> => {
    writeFileSync(file, text)
    return (await findAdminSocketPath(file, environment)).path
  }
  assert.equal(await pathOf('workers = "many"\nadmin_socket_path = "a.sock"\n'), join(directory, 'a.sock'))
  assert.equal(await pathOf('state_dir = "/srv/state"\n'), '/srv/state/admin.sock')
  assert.equal(await pathOf('this is not TOML'), '/home/x/.local/state/reverse-proxy/admin.sock')
  assert.equal(
    (await findAdminSocketPath(undefined, { ...environment, isRoot: true })).path,
    '/run/reverse-proxy/admin.sock',
  )
  assert.equal(
    await pathOf("# ours\nadmin_socket_path = 'a.sock' # here\ngarbage = [\n[body]\nstate_dir = 'no'\n"),
    join(directory, 'a.sock'),
  )
  assert.equal(await pathOf('state_dir = "/srv/state"\nworkers 2\n'), '/srv/state/admin.sock')
  await assert.rejects(pathOf('admin_socket_path = ""\n'), { code: 'ADMIN', message: /disabled/ })
})

test('a broken or missing file: its own error comes first where nobody answers; a proxy that runs is asked', async (t) => {
  const { path } = await startAdmin(t)
  const file = join(temporaryDirectory(t), 'live.toml')
  let said = ''
  t.mock.method(process.stderr, 'write', (text: string) => Boolean((said += text)))
  const reload = async (configFlag: string): Promise<string> => {
    said = ''
    await ask('reload', [], { configFlag, json: false })
    return said
  }
  writeFileSync(file, `admin_socket_path = '${path}.gone'\ngarbage = [\n`)
  assert.match(await reload(file), /^error: \S+live\.toml:\d+:\d+: .*no proxy is running here/)
  assert.match(await reload(`${file}.nope`), /^error: \S+live\.toml\.nope does not exist; /)
  writeFileSync(file, `admin_socket_path = '${path}.gone'\n`)
  assert.match(await reload(file), /hint: .*admin_socket_path of its start/)
  t.mock.method(process.stdout, 'write', () => true)
  writeFileSync(file, `admin_socket_path = '${path}'\ngarbage = [\n`)
  const code = await ask('reload', [], { configFlag: file, json: false })
  t.mock.restoreAll()
  assert.equal(code, 0)
})

async function startStranger(
  t: TestContext,
  path: string,
  onConnection: (socket: net.Socket) => void,
): Promise<string> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    onConnection(socket)
  })
  t.after(() => server.close())
  await once(server.listen(path), 'listening')
  return path
}
