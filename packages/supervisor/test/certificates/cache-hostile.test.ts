// A cache directory that somebody else has been at: nothing in it hangs, fills or crashes the supervisor,
// leads it elsewhere, or is lost. What is bad is put aside and told, and what is good is used.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { openFileStorage } from '../../src/certificates/storage/file-storage.ts'
import { AcmeCache } from '../../src/certificates/acme/cache.ts'
import { inspectPair } from '../../src/certificates/crypto/inspect.ts'
import { generateKey } from '../../src/certificates/crypto/keys.ts'

const DIRECTORY_URL = 'https://ca.example/dir'
const ACCOUNT = {
  directoryUrl: DIRECTORY_URL,
  keyPem: generateKey('ecdsa-p256'),
  url: 'https://ca.example/acct/1',
  contact: 'mailto:admin@a.example',
}
const RECORD = {
  failures: 1,
  failedAtMs: 1000,
  nextAttemptMs: 61_000,
  caWaitUntilMs: undefined,
  reachedCa: true,
  directoryUrl: DIRECTORY_URL,
  names: ['a.example'],
  failedNames: [],
  leftOutAtMs: undefined,
  reason: 'no',
  document: undefined,
}

/** Two of the same name, made once: making them is slow. */
let pairs: Promise<readonly { readonly certPem: string; readonly keyPem: string }[]> | undefined

class Scene {
  readonly directory: string
  readonly told: string[] = []
  readonly cache: AcmeCache
  /** Serial numbers, oldest first. */
  readonly serials: string[] = []

  private constructor(t: TestContext) {
    this.directory = join(temporaryDirectory(t), 'cache')
    this.cache = new AcmeCache({
      storage: openFileStorage(this.directory),
      state: undefined,
      settings: {
        mode: 'acme',
        domains: ['a.example'],
        cacheDir: this.directory,
        directoryUrl: DIRECTORY_URL,
        contact: ACCOUNT.contact,
        challenge: 'http-01',
        caFile: undefined,
        eab: undefined,
        keyType: 'ecdsa-p256',
        profile: undefined,
        preferredChain: undefined,
      },
      clock: { monotonicMs: () => 2000, wallOffsetMs: 0 },
      inspect: async ({ certPem, keyPem }) => inspectPair(certPem, keyPem),
      onQuarantined: ({ path, reason }) => this.told.push(`${path.slice(this.directory.length)}: ${reason}`),
      onExposed: ({ path, problem }) => this.told.push(`${path.slice(this.directory.length)}: ${problem}`),
    })
  }

  /** A cache with two generations, an account and a failure in it. */
  static async create(t: TestContext): Promise<Scene> {
    const scene = new Scene(t)
    pairs ??= TestCa.create(t).then(async (ca) => [
      await ca.issue(['a.example']),
      await ca.issue(['a.example']),
    ])
    await scene.cache.prepare()
    for (const [index, { certPem, keyPem }] of (await pairs).entries()) {
      const obtainedMs = (index + 1) * 1000
      const inspection = inspectPair(certPem, keyPem)
      assert.ok(inspection.ok)
      const { facts } = inspection
      const certificate = { certPem, keyPem, facts, origin: DIRECTORY_URL, obtainedMs }
      await scene.cache.saveCertificate(certificate, { assertHeld: async () => {} })
      scene.serials.push(facts.serial)
    }
    await scene.cache.accounts.save(ACCOUNT)
    await scene.cache.saveFailure(RECORD)
    return scene
  }

  path(...parts: readonly string[]): string {
    return join(this.directory, ...parts)
  }

  async current(): Promise<string> {
    return this.path(await readlink(this.path('current')))
  }

  async accountPath(): Promise<string> {
    const [name = ''] = await readdir(this.path('accounts'))
    return this.path('accounts', name)
  }

  async servedSerial(): Promise<string | undefined> {
    return (await this.cache.readCertificates())[0]?.facts.serial
  }
}

/** Leaves at a path what no reader should trust. */
const IN_PLACE_OF_A_FILE: Readonly<Record<string, (path: string) => Promise<void>>> = {
  'a directory': async (path) => void (await mkdir(join(path, 'in', 'it'), { recursive: true })),
  'a link to a file elsewhere': async (path) => await symlink('/etc/hostname', path),
  'a link to itself': async (path) => await symlink(path, path),
  'a link to an endless file': async (path) => await symlink('/dev/zero', path),
  'a pipe that nobody writes': async (path) => void execFileSync('mkfifo', [path]),
  'four gibibytes of nothing': async (path) => {
    await writeFile(path, '')
    await truncate(path, 4 * 1024 ** 3)
  },
  garbage: async (path) => await writeFile(path, '\0\u{fffd}{[' + '['.repeat(10_000)),
  'JSON of another kind': async (path) => await writeFile(path, '[{"version":1}]'),
  'numbers where there should be none': async (path) =>
    await writeFile(path, '{"version":1e400,"keyPem":1,"failures":"1","directoryUrl":{},"names":[1]}'),
}

for (const [what, put] of Object.entries(IN_PLACE_OF_A_FILE)) {
  test(`${what} in place of each file: it is put aside, and the rest is used`, async (t) => {
    const scene = await Scene.create(t)
    const account = await scene.accountPath()
    const failure = scene.path('last-failure.json')
    const key = join(await scene.current(), 'key.pem')
    for (const path of [account, failure, key]) {
      await rm(path)
      await put(path)
    }
    assert.equal(await scene.servedSerial(), scene.serials[0], 'the generation before it')
    assert.equal(await scene.cache.readFailure(), undefined)
    assert.equal(await scene.cache.accounts.load(DIRECTORY_URL), undefined)
    assert.equal(scene.told.length, 3, scene.told.join('\n'))
    assert.equal((await readdir(scene.path('quarantine'))).length, 3)

    await scene.cache.accounts.save(ACCOUNT)
    await scene.cache.saveFailure(RECORD)
    assert.deepEqual(await scene.cache.accounts.load(DIRECTORY_URL), ACCOUNT)
    assert.equal((await scene.cache.readFailure())?.reason, 'no')
    assert.equal(scene.told.length, 3, 'said once')
  })
}

test('whatever is in place of the link to the current generation, the newest is used', async (t) => {
  const places: Readonly<Record<string, (path: string) => Promise<void>>> = {
    ...IN_PLACE_OF_A_FILE,
    'a link to the directory above': async (path) => await symlink('generations/..', path),
    'a link to the root': async (path) => await symlink('/', path),
    'a link to nothing': async (path) => await symlink('generations/gone', path),
  }
  for (const [what, put] of Object.entries(places)) {
    const scene = await Scene.create(t)
    await rm(scene.path('current'))
    await put(scene.path('current'))
    assert.equal(await scene.servedSerial(), scene.serials[1], what)
    assert.equal((await readdir(scene.path('generations'))).length, 2, what)
  }
})

test('a generation that is a link out of the directory is put aside', async (t) => {
  const scene = await Scene.create(t)
  const elsewhere = temporaryDirectory(t)
  const current = await scene.current()
  for (const name of await readdir(current))
    await writeFile(join(elsewhere, name), await readFile(join(current, name)))
  await rm(current, { recursive: true })
  await symlink(elsewhere, current)
  assert.equal(await scene.servedSerial(), scene.serials[0])
  assert.equal(scene.told.length, 1)
  assert.equal((await readdir(elsewhere)).length, 3)
})

for (const name of ['generations', 'accounts']) {
  test(`${name} as a link to elsewhere: refused, and nothing is written or changed there`, async (t) => {
    const scene = await Scene.create(t)
    const elsewhere = temporaryDirectory(t)
    await chmod(elsewhere, 0o755)
    await rm(scene.path(name), { recursive: true })
    await symlink(elsewhere, scene.path(name))
    const write = name === 'generations' ? scene.cache.prepare() : scene.cache.accounts.save(ACCOUNT)
    await assert.rejects(write, { code: 'CACHE', hint: /symbolic link/u })
    assert.deepEqual(await readdir(elsewhere), [])
    assert.equal((await lstat(elsewhere)).mode & 0o777, 0o755)
  })
}

test('files and directories open to others are closed to them, and each is told once', async (t) => {
  const scene = await Scene.create(t)
  const key = join(await scene.current(), 'key.pem')
  const account = await scene.accountPath()
  await chmod(key, 0o644)
  await chmod(account, 0o660)
  await chmod(scene.path('generations'), 0o777)
  await scene.cache.secure()
  for (const path of [key, account]) assert.equal((await lstat(path)).mode & 0o777, 0o600)
  assert.equal((await lstat(scene.path('generations'))).mode & 0o777, 0o700)
  assert.equal(scene.told.length, 3, scene.told.join('\n'))
  assert.match(scene.told.join('\n'), /key\.pem: its mode was 0644: if others have read a key, order a new/u)
  await scene.cache.secure()
  assert.equal(scene.told.length, 3)
})

test('a directory of somebody else is refused, and nothing in it is changed', async (t) => {
  const scene = await Scene.create(t)
  const program = scene.path('program')
  await rm(scene.path('generations'), { recursive: true })
  await writeFile(program, 'not ours')
  await chmod(program, 0o4755)
  await chmod(scene.path('accounts'), 0o755)
  await assert.rejects(scene.cache.secure(), { code: 'CACHE', message: /it holds program/u })
  assert.equal((await lstat(program)).mode & 0o7777, 0o4755)
  assert.equal((await lstat(scene.path('accounts'))).mode & 0o777, 0o755)
})

test("strangers' files in a cache stop nothing: they are left as they are, and told of", async (t) => {
  const scene = await Scene.create(t)
  const serial = await scene.servedSerial()
  const strangers = [
    'renewal.json.bak',
    '.last-failure.json.swp',
    '.nfs0001',
    'notes',
    'generations/old.tar',
    'key.pem.new',
    'accounts/backup.new',
    'generations/.backup.new',
  ]
  for (const name of strangers) await writeFile(scene.path(name), 'not ours', { mode: 0o644 })
  await mkdir(scene.path('a directory'))
  await mkdir(scene.path('generations', 'copy'))
  execFileSync('mkfifo', [scene.path('pipe')])
  await scene.cache.secure()
  // Below, all is closed to others, whosever it is.
  assert.equal(scene.told.length, 11, scene.told.join('\n'))
  assert.match(
    scene.told.join('\n'),
    /^\/renewal\.json\.bak: it is not a file of this cache; it is left alone$/mu,
  )

  assert.equal(await scene.servedSerial(), serial)
  const [certificate] = await scene.cache.readCertificates()
  assert.ok(certificate)
  await scene.cache.saveCertificate({ ...certificate, obtainedMs: 9000 }, { assertHeld: async () => {} })
  for (const name of strangers) assert.equal(await readFile(scene.path(name), 'utf8'), 'not ours')
  assert.ok((await lstat(scene.path('generations', 'copy'))).isDirectory())
  assert.equal(scene.told.length, 11)
})

test('what belongs to somebody else is told', async (t) => {
  const scene = await Scene.create(t)
  const { geteuid } = process
  assert.ok(geteuid)
  const uid = geteuid()
  process.geteuid = () => uid + 1
  t.after(() => (process.geteuid = geteuid))
  await scene.cache.secure()
  assert.equal(scene.told[0], `: it belongs to uid ${uid}, who can read and replace what is in it`)
})
