// A clone as it comes: every script makes the installation whole first, whatever was there, and says what the system lacks.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { Program } from '../../harness/program.ts'
import { pnpmLauncher, shellEnvironment } from '../../harness/system/shell.ts'
import { IS_FULL } from '../../harness/size.ts'
import { waitFor } from '../../harness/wait.ts'

const ROOT = join(import.meta.dirname, '../../..')
const TEST = { timeout: 300_000 }
const NOT_IN_A_CLONE = /(^|\/)(node_modules|dist|coverage|\.git|\.installing[^/]*|[^/]*\.tsbuildinfo)(\/|$)/
// From the store of packages that the tests' own installation has filled.
const ENV = { ...shellEnvironment(), npm_config_prefer_offline: 'true', pnpm_config_prefer_offline: 'true' }
const launcher = pnpmLauncher()
/** In a mount namespace: the directory of libatomic without it. */
const HIDE = `
  library=$(ldconfig -p | sed -n 's/.*libatomic\\.so\\.1 .*=> //p' | head -n 1)
  directory=$(dirname "$(readlink -f "$library")")
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work
  mount -t overlay overlay -o "lowerdir=$directory,upperdir=/mnt/upper,workdir=/mnt/work" "$directory"
  rm -f "$directory"/libatomic.so.1*`

test(
  'start completes a filtered installation; at full size one that was killed or is of another lockfile',
  TEST,
  async (t) => {
    const clone = freshClone(t)
    const inClone = (path: string) => join(clone, path)

    await pnpm(t, clone, 'install', '--frozen-lockfile', '-F', 'supervisor')
    assert.ok(!existsSync(inClone('test/node_modules')), 'a filtered installation leaves projects out')
    assert.match(await start(t, clone), /^reverse-proxy \d/m)
    assert.ok(existsSync(inClone('test/node_modules/ws/package.json')))

    if (!IS_FULL) return
    // Killed: half a package is there, and pnpm's records say that all is.
    const damaged = inClone('node_modules/.pnpm/node_modules/ajv/package.json')
    const whole = readFileSync(damaged, 'utf8')
    rmSync(damaged)
    symlinkSync('4194305', inClone('.installing'))
    await start(t, clone)
    assert.equal(readFileSync(damaged, 'utf8'), whole)
    assert.ok(!isLink(inClone('.installing')))

    // Killed for real, as early as it is seen to work.
    rmSync(inClone('node_modules/.complete'))
    const killed = new Program(t, 'sh', [inClone('scripts/prepare.sh')], { cwd: clone, env: ENV })
    await waitFor('the installation has begun', () => isLink(inClone('.installing')))
    process.kill(-killed.pid, 'SIGKILL')
    await killed.exited
    await start(t, clone)
    assert.ok(existsSync(inClone('test/node_modules/ws/package.json')))

    const [manifest, lockfile] = [inClone('test/package.json'), inClone('pnpm-lock.yaml')]
    const [newManifest, newLockfile] = [readFileSync(manifest, 'utf8'), readFileSync(lockfile, 'utf8')]
    writeFileSync(manifest, newManifest.replace(/,\n\s+"ws": "catalog:"/, ''))
    writeFileSync(lockfile, newLockfile.replace(/ {6}ws:\n {8}specifier: .*\n {8}version: .*\n/, ''))
    await start(t, clone)
    assert.ok(!existsSync(inClone('test/node_modules/ws')), 'of the older lockfile')
    writeFileSync(manifest, newManifest)
    writeFileSync(lockfile, newLockfile)
    await start(t, clone)
    assert.ok(existsSync(inClone('test/node_modules/ws/package.json')))

    for (const script of ['build', 'check']) await pnpm(t, clone, script)
    assert.match(await pnpm(t, clone, 'test', 'pinned-node'), /^1 passed, 0 failed$/m)
  },
)

/** An installation by pnpm, as far as prepare.sh can see it. */
const STUB_PNPM = `#!/bin/sh
  echo installs >>calls
  mkdir -p node_modules/.bin node_modules/.pnpm packages/a/node_modules test/node_modules
  if [ -e hangs ]; then echo half >node_modules/half; while :; do sleep 1; done; fi
  if [ -e fails ]; then exit 3; fi
  echo all >node_modules/.modules.yaml
  cp pnpm-lock.yaml node_modules/.pnpm/lock.yaml
  printf '#!/bin/sh\\n' >node_modules/.bin/node; chmod +x node_modules/.bin/node`

test('prepare.sh: installs when what is there is not all, and only then', TEST, async (t) => {
  const workspace = temporaryDirectory(t)
  const at = (path: string) => join(workspace, path)
  const write = (path: string, text: string) => writeFileSync(at(path), text)
  for (const directory of ['scripts', 'packages/a', 'test']) mkdirSync(at(directory), { recursive: true })
  for (const file of ['package.json', 'packages/a/package.json', 'test/package.json']) write(file, '{}')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) write(file, 'new\n')
  cpSync(join(ROOT, 'scripts/prepare.sh'), at('scripts/prepare.sh'))
  writeFileSync(at('pnpm'), STUB_PNPM, { mode: 0o755 })
  const begin = () =>
    new Program(t, 'sh', [at('scripts/prepare.sh')], { env: { ...ENV, npm_execpath: at('pnpm') } })
  const prepare = async () => (await begin().exited).code
  const installations = () => {
    const count = existsSync(at('calls')) ? readFileSync(at('calls'), 'utf8').split('\n').length - 1 : 0
    rmSync(at('calls'), { force: true })
    return count
  }

  assert.deepEqual(await Promise.all([prepare(), prepare(), prepare()]), [0, 0, 0])
  assert.equal(installations(), 1, 'three at a time, one installation')
  assert.equal(await prepare(), 0)
  assert.equal(installations(), 0, 'all is there')
  const changes: Record<string, () => void> = {
    'another lockfile': () => write('pnpm-lock.yaml', 'other\n'),
    'another manifest': () => write('test/package.json', '{"dependencies":{}}'),
    'a filtered installation': () => write('node_modules/.modules.yaml', 'some\n'),
    'a package without its modules': () => rmSync(at('test/node_modules'), { recursive: true }),
    'nothing at all': () => rmSync(at('node_modules'), { recursive: true }),
  }
  for (const [what, change] of Object.entries(changes)) {
    change()
    assert.equal(await prepare(), 0)
    assert.equal(installations(), 1, what)
  }

  write('pnpm-lock.yaml', 'one more\n')
  write('fails', '')
  assert.equal(await prepare(), 3)
  rmSync(at('fails'))
  assert.equal(await prepare(), 0)
  assert.equal(installations(), 2, 'one that failed is repeated')

  write('pnpm-lock.yaml', 'another\n')
  write('hangs', '')
  const killed = begin()
  await waitFor('half an installation', () => existsSync(at('node_modules/half')), 20_000)
  process.kill(-killed.pid, 'SIGKILL')
  await killed.exited
  rmSync(at('hangs'))
  assert.deepEqual(await Promise.all([prepare(), prepare()]), [0, 0])
  assert.equal(installations(), 2, 'one that was killed is repeated once')
  assert.ok(!existsSync(at('node_modules/half')), 'and nothing of it is trusted')
})

const hidden = hidesLibraries()
test(
  'a system without libatomic: one line names the file and the package, and install.sh goes no further',
  { ...TEST, skip: hidden.skip },
  (t) => {
    const prepared = runWithoutLibatomic('sh', join(ROOT, 'scripts/prepare.sh'))
    assert.equal(prepared.status, 1)
    assert.equal(prepared.stdout, '')
    assert.match(prepared.stderr, /^[^\n]*needs libatomic\.so\.1, [^\n]* install libatomic1?\n$/)

    const root = temporaryDirectory(t)
    const installed = runWithoutLibatomic('bash', join(ROOT, 'deploy/install.sh'), '--root', root)
    assert.equal(installed.status, 1)
    assert.match(installed.stdout, /^ {2}Installing packages[^\n]*\n$/)
    assert.equal(installed.stderr, prepared.stderr)
    assert.deepEqual(globSync('opt/reverse-proxy/**/*', { cwd: root }), ['opt/reverse-proxy/releases'])
  },
)

test(
  'a debootstrap minbase root: prepare.sh names the package, --provide installs it',
  { timeout: 600_000, skip: IS_FULL ? false : 'debootstrap takes a minute: pnpm test:long' },
  (t) => {
    const root = temporaryDirectory(t)
    const made = spawnSync('debootstrap', ['--variant=minbase', 'bookworm', root], { encoding: 'utf8' })
    if (made.status !== 0) {
      t.skip(`debootstrap cannot run here: ${made.error?.message ?? made.stdout.slice(-200)}`)
      return
    }
    cpSync(ROOT, join(root, 'clone'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !/\/(\.git|coverage)$/.test(path),
    })
    const prepare = (...args: string[]) =>
      spawnSync('chroot', [root, 'sh', '/clone/scripts/prepare.sh', ...args], { encoding: 'utf8' })
    const refused = prepare()
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /needs libatomic\.so\.1, .* apt-get install libatomic1\n$/)
    const provided = prepare('--provide')
    assert.equal(provided.status, 0, provided.stderr)
    const pinned = spawnSync('chroot', [root, '/clone/node_modules/.bin/node', '--version'], {
      encoding: 'utf8',
    })
    assert.match(pinned.stdout, /^v26\./)
  },
)

function hidesLibraries(): { skip: string | false } {
  const { status, stderr } = spawnSync('unshare', ['-m', 'sh', '-ec', HIDE], { encoding: 'utf8' })
  return { skip: status === 0 ? false : `cannot hide a library here: ${stderr}` }
}

/** Also of one that leads nowhere. */
function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
}

/** Runs a command where libatomic is hidden. */
function runWithoutLibatomic(...command: string[]) {
  const script = `${HIDE}; exec "$@"`
  return spawnSync('unshare', ['-m', 'sh', '-ec', script, '-', ...command], { encoding: 'utf8', env: ENV })
}

function freshClone(t: TestContext): string {
  const clone = join(temporaryDirectory(t), 'clone')
  cpSync(ROOT, clone, {
    recursive: true,
    filter: (path) => !NOT_IN_A_CLONE.test(path.slice(ROOT.length)),
  })
  return clone
}

async function start(t: TestContext, clone: string): Promise<string> {
  return await pnpm(t, clone, '-F', 'supervisor', 'start', '--version')
}

/** Its stdout; it must end with 0. */
async function pnpm(t: TestContext, cwd: string, ...args: string[]): Promise<string> {
  const program = new Program(t, launcher.file, [...launcher.args, ...args], { cwd, env: ENV })
  const { code } = await program.exited
  assert.equal(code, 0, `${args.join(' ')}\n${program.stdout.text}${program.stderr.text}`)
  return program.stdout.text
}
