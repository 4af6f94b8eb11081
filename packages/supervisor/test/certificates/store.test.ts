// The cache directory survives whatever happens to it: a torn write, a bad file, a full or closed disk.
import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { TestCa } from '../../../../test/harness/tls-material.ts'
import { inspectPair } from '../../src/certificates/crypto/inspect.ts'
import type { StoredCertificate } from '../../src/certificates/certificate.ts'
import { CertificateStore } from '../../src/certificates/storage/generations.ts'

const inspect = async (pair: { certPem: string; keyPem: string }) => inspectPair(pair.certPem, pair.keyPem)
const HELD = { assertHeld: async (): Promise<void> => {} }

class Fixture {
  readonly directory: string
  readonly store: CertificateStore
  readonly #ca: TestCa
  #saved = 0

  constructor(t: TestContext, ca: TestCa) {
    this.directory = join(temporaryDirectory(t), 'cache')
    this.store = new CertificateStore(this.directory)
    this.#ca = ca
  }

  static async create(t: TestContext): Promise<Fixture> {
    const fixture = new Fixture(t, await TestCa.create(t))
    await fixture.store.prepare()
    return fixture
  }

  async issue(): Promise<StoredCertificate> {
    const { certPem, keyPem } = await this.#ca.issue(['a.example'])
    const inspection = inspectPair(certPem, keyPem)
    assert.ok(inspection.ok)
    const obtainedMs = Date.UTC(2026, 0, 1) + this.#saved++ * 1000
    return { certPem, keyPem, facts: inspection.facts, origin: 'https://ca.example/', obtainedMs }
  }

  async save(): Promise<StoredCertificate> {
    const certificate = await this.issue()
    await this.store.save(certificate, HELD)
    return certificate
  }

  async load(): Promise<StoredCertificate | undefined> {
    return (await this.store.load(inspect)).certificate
  }

  async current(): Promise<string> {
    return join(this.directory, await readlink(join(this.directory, 'current')))
  }
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

test('what is saved is loaded, in files that their owner alone can read', async (t) => {
  const fixture = await Fixture.create(t)
  assert.equal(await fixture.load(), undefined)
  const saved = await fixture.save()
  assert.deepEqual(await fixture.load(), saved)
  assert.equal(await modeOf(fixture.directory), 0o700)
  const current = await fixture.current()
  assert.equal(await modeOf(current), 0o700)
  for (const name of await readdir(current)) assert.equal(await modeOf(join(current, name)), 0o600, name)
})

test('the generation before the current one is kept, and no other', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.save()
  const second = await fixture.save()
  const third = await fixture.save()
  assert.equal((await readdir(join(fixture.directory, 'generations'))).length, 2)
  assert.deepEqual(await fixture.load(), third)
  await rm(await fixture.current(), { recursive: true })
  assert.deepEqual(await fixture.load(), second)
})

for (const file of ['cert.pem', 'key.pem', 'meta.json']) {
  for (const [damage, content] of [
    ['torn', '-----BEGIN CERTIFICATE-----\nMIIB'],
    ['empty', ''],
    ['gone', undefined],
  ] as const) {
    test(`${file} ${damage}: the generation is put aside whole, and the one before it is used`, async (t) => {
      const fixture = await Fixture.create(t)
      const first = await fixture.save()
      await fixture.save()
      const path = join(await fixture.current(), file)
      if (content === undefined) await rm(path)
      else await writeFile(path, content)

      const { certificate, quarantined } = await fixture.store.load(inspect)
      assert.deepEqual(certificate, first)
      assert.equal(quarantined.length, 1)
      const kept = await readdir(quarantined[0]?.path ?? '')
      assert.equal(kept.length, content === undefined ? 2 : 3)
      assert.deepEqual((await fixture.store.load(inspect)).quarantined, [], 'said once')
      const next = await fixture.save()
      assert.deepEqual(await fixture.load(), next)
    })
  }
}

test('a key that does not match is put aside: nothing is left to use', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.save()
  await writeFile(join(await fixture.current(), 'key.pem'), (await fixture.issue()).keyPem)
  const { certificate, quarantined } = await fixture.store.load(inspect)
  assert.equal(certificate, undefined)
  assert.match(quarantined[0]?.reason ?? '', /does not match/u)
})

test('without a link to the current one, the newest complete generation is used', async (t) => {
  const fixture = await Fixture.create(t)
  await fixture.save()
  const second = await fixture.save()
  await rm(join(fixture.directory, 'current'))
  assert.deepEqual(await fixture.load(), second)
})

test('killed before the rename: the old pair stays current, and the next save cleans up', async (t) => {
  const fixture = await Fixture.create(t)
  const first = await fixture.save()
  const killed = new Error('killed')
  await assert.rejects(
    fixture.store.save(await fixture.issue(), {
      assertHeld: async () => {
        // A process killed here leaves a complete generation, and the link that was to be renamed.
        await symlink('generations/x', join(fixture.directory, 'current.0123456789ab.new'))
        throw killed
      },
    }),
    killed,
  )
  assert.deepEqual(await fixture.load(), first)
  await mkdir(join(fixture.directory, 'generations', '.20990101T000000.000Z-half.0123456789ab.new'))
  assert.deepEqual(await fixture.load(), first)
  const next = await fixture.save()
  assert.deepEqual(await fixture.load(), next)
  assert.equal((await readdir(join(fixture.directory, 'generations'))).length, 2)
  assert.deepEqual((await readdir(fixture.directory)).toSorted(), ['current', 'generations'])
})

test('a directory that cannot be written is found before anything is ordered', async (t) => {
  const base = temporaryDirectory(t)
  await writeFile(join(base, 'file'), '')
  const store = new CertificateStore(join(base, 'file', 'cache'))
  await assert.rejects(store.prepare(), { code: 'CACHE', hint: /part of the path is a file/u })

  const wide = join(base, 'wide')
  await mkdir(wide, { mode: 0o755 })
  await chmod(wide, 0o755)
  await new CertificateStore(wide).prepare()
  assert.equal(await modeOf(wide), 0o700)
})
