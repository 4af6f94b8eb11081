// Where the configuration and its directories are looked for.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultAdminSocketPath, defaultStateDir } from '../../src/config/environment.ts'
import { findConfig } from '../../src/config/find.ts'
import { makeDirectory } from '../support/config-directory.ts'

test('--config, then $REVERSE_PROXY_CONFIG, then the system file, then none', async (t) => {
  const directory = await makeDirectory(t)
  const systemPath = join(directory, 'system.toml')
  const env = { REVERSE_PROXY_CONFIG: 'named.toml' }
  const where = { cwd: '/work', systemPath }
  assert.equal(await findConfig({ flag: 'flag.toml', env, ...where }), '/work/flag.toml')
  assert.equal(await findConfig({ flag: undefined, env, ...where }), '/work/named.toml')
  assert.equal(await findConfig({ flag: undefined, env: {}, ...where }), undefined)
  await writeFile(systemPath, '')
  assert.equal(await findConfig({ flag: undefined, env: {}, ...where }), systemPath)
})

test('a relative path counts from where the user typed the command', async () => {
  const start = { npm_lifecycle_event: 'start', npm_package_name: '@reverse-proxy/supervisor' }
  const env = { INIT_CWD: '/home/user', ...start }
  assert.equal(await findConfig({ flag: '../x.toml', env, cwd: '/work/package' }), '/home/x.toml')
  assert.equal(await findConfig({ flag: '/x.toml', env, cwd: '/work/package' }), '/x.toml')
  // Typed in a script of another package, which has its own directory.
  for (const other of [{ npm_lifecycle_event: 'deploy' }, { npm_package_name: 'site' }]) {
    const where = { env: { ...env, ...other }, cwd: '/srv/site' }
    assert.equal(await findConfig({ flag: 'x.toml', ...where }), '/srv/site/x.toml')
  }
})

test('state and socket of root, of a service, of a user', () => {
  const homeDir = '/home/u'
  const places = (isRoot: boolean, env: NodeJS.ProcessEnv) => {
    const stateDir = defaultStateDir({ isRoot, env, homeDir })
    return [stateDir, defaultAdminSocketPath({ isRoot, env, homeDir }, stateDir)]
  }
  assert.deepEqual(places(true, { STATE_DIRECTORY: '/x', XDG_STATE_HOME: '/y' }), [
    '/var/lib/reverse-proxy',
    '/run/reverse-proxy/admin.sock',
  ])
  assert.deepEqual(places(false, { STATE_DIRECTORY: '/var/lib/a:/var/lib/b', RUNTIME_DIRECTORY: '/run/a' }), [
    '/var/lib/a',
    '/run/a/admin.sock',
  ])
  assert.deepEqual(places(false, { XDG_STATE_HOME: '/s', XDG_RUNTIME_DIR: '/run/user/1' }), [
    '/s/reverse-proxy',
    '/run/user/1/reverse-proxy/admin.sock',
  ])
  assert.deepEqual(places(false, { XDG_STATE_HOME: 'relative', XDG_RUNTIME_DIR: '' }), [
    '/home/u/.local/state/reverse-proxy',
    '/home/u/.local/state/reverse-proxy/admin.sock',
  ])
})
