// Cache directories as the file system has them: no two paths to one, and `validate` says what a start would
// stumble over, without making anything.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { validate } from '../../src/cli/commands/validate.ts'
import { ConfigErrors, type LocatedIssue } from '../../src/config/document/config-errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { HEAD, makeDirectory, OPTIONS, writeConfig } from '../support/config-directory.ts'

const TEST = { timeout: 10_000 }

/** One ACME listener for each cache directory. */
function configWith(cacheDirs: readonly string[]): string {
  const listeners = cacheDirs.map(
    (cacheDir, index) => `
[[listeners]]
bind_addr = "127.0.0.${index + 1}"
sites = [{ host = "site-${index}.example", upstream = "127.0.0.1:3000" }]
[listeners.tls]
mode = "acme"
acme_domains = ["site-${index}.example"]
acme_contact = "mailto:you@site.example"
acme_cache_dir = "${cacheDir}"
`,
  )
  return HEAD + listeners.join('')
}

async function issuesOf(path: string, checksCaches: boolean): Promise<readonly LocatedIssue[]> {
  try {
    return (await loadConfig(path, { ...OPTIONS, checksCaches })).warnings
  } catch (error) {
    assert.ok(error instanceof ConfigErrors)
    return error.issues
  }
}

test(
  'one cache directory by two paths is found: links, dots and slashes, there or not there yet',
  TEST,
  async (t) => {
    const directory = await makeDirectory(t)
    await mkdir(join(directory, 'real'))
    await symlink(join(directory, 'real'), join(directory, 'link'))
    await mkdir(join(directory, 'real', 'cache'))
    for (const [first, second] of [
      ['real/cache', 'link/cache'],
      ['real/cache', 'real/../link/cache/'],
      ['real/new/cache', 'link/new/cache'],
      ['real/cache', 'real/./cache/'],
    ] as const) {
      const path = await writeConfig(directory, configWith([first, second]))
      const codes = (await issuesOf(path, false)).map(({ code, path: key }) => `${code} ${key}`)
      assert.deepEqual(codes, ['ACME_CACHE_DIR_SHARED listeners[1].tls.acme_cache_dir'], second)
    }
    const path = await writeConfig(directory, configWith(['real/cache', 'link/other']))
    assert.deepEqual(await issuesOf(path, false), [])
  },
)

test(
  'validate: what a start would refuse in a cache directory is an error, what it would mend a warning',
  TEST,
  async (t) => {
    const directory = await makeDirectory(t)
    const isRoot = process.geteuid?.() === 0
    const names = ['new/cache', 'private', 'open', 'file', 'file/below', 'home', 'locked']
    for (const name of ['private', 'open', 'home', 'locked'])
      await mkdir(join(directory, name), { mode: 0o700 })
    await writeFile(join(directory, 'private', 'renewal.json'), '{}')
    await chmod(join(directory, 'open'), 0o755)
    await writeFile(join(directory, 'file'), '')
    await writeFile(join(directory, 'home', 'letter.txt'), '')
    await chmod(join(directory, 'locked'), 0o500)
    const path = await writeConfig(directory, configWith(names))
    const before = await readdir(directory, { recursive: true })

    const found = await issuesOf(path, true)
    const byName = new Map(found.map(({ code, at, message }) => [names[Number(at[1])], `${code} ${message}`]))
    assert.match(byName.get('open') ?? '', /^ACME_CACHE_DIR_EXPOSED .*0755/u)
    assert.match(byName.get('file') ?? '', /^ACME_CACHE_DIR_UNUSABLE .*not a directory/u)
    assert.match(byName.get('file/below') ?? '', /^ACME_CACHE_DIR_UNUSABLE .*ENOTDIR/u)
    assert.match(byName.get('home') ?? '', /^ACME_CACHE_DIR_UNUSABLE .*letter\.txt/u)
    // Nothing is locked for root.
    if (!isRoot) assert.match(byName.get('locked') ?? '', /^ACME_CACHE_DIR_UNWRITABLE .*EACCES/u)
    assert.equal(byName.size, isRoot ? 4 : 5)
    const said: string[] = []
    const output = { write: (text: string) => said.push(text) }
    assert.equal(
      await validate({ configFlag: path, allowWildcardBind: false, json: false }, output, output),
      1,
    )
    assert.match(said.join(''), / error ACME_CACHE_DIR_UNUSABLE listeners\[3\]\.tls\.acme_cache_dir: /u)
    assert.deepEqual(await readdir(directory, { recursive: true }), before)
    assert.equal(existsSync(join(directory, 'new')), false)

    // A start finds out by itself, and a reload is not refused for a disk that is full.
    const loaded = await issuesOf(await writeConfig(directory, configWith(['home', 'open'])), false)
    assert.deepEqual(loaded, [])
  },
)
