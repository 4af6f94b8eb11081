// Sites in files of their own: they mean what they would mean in the main file, and their issues name their own file.
import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { ConfigErrors } from '../../src/config/document/config-errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { HEAD, makeDirectory, OPTIONS, writeConfig } from '../support/config-directory.ts'

const TIMEOUT = { timeout: 30_000 }
const INCLUDE = 'include = ["sites/*.toml"]\n'
const LISTENER = '[[listeners]]\nbind_addr = "127.0.0.1"\ntls = { mode = "internal" }\n'
const SECOND = '[[listeners]]\nbind_addr = ["127.0.0.1", "::1"]\nhttp_port = 8080\ntls = { mode = "off" }\n'

function site(host: string, more = ''): string {
  return `[[sites]]\nhost = "${host}"\nupstream = "127.0.0.1:3000"\n${more}\n`
}

/** Writes `files` under sites/ and the main file; returns the path of the main file. */
async function write(t: TestContext, main: string, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await makeDirectory(t)
  await mkdir(join(directory, 'sites'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, 'sites', name), text)
  return await writeConfig(directory, main)
}

/** `config.toml:1:2 CODE path: message (hint)`, with paths relative to the directory. */
async function issuesOf(path: string, options = OPTIONS): Promise<string[]> {
  const error: unknown = await loadConfig(path, options).catch((thrown: unknown) => thrown)
  if (!(error instanceof ConfigErrors)) throw error ?? new Error('the configuration is valid')
  const directory = join(path, '..')
  return error.issues.map(({ file, line, column, code, path: key, message, hint }) =>
    `${file}:${line}:${column} ${code} ${key}: ${message} (${hint})`.replaceAll(`${directory}/`, ''),
  )
}

async function hostsOf(path: string): Promise<string[][]> {
  const { config, warnings } = await loadConfig(path, OPTIONS)
  assert.deepEqual(warnings, [])
  return config.listeners.map(({ sites }) => sites.flatMap(({ hosts }) => hosts))
}

test(
  'included sites follow those of the main file, file by file in the order of names',
  TIMEOUT,
  async (t) => {
    const main = `${INCLUDE}${HEAD}${LISTENER}sites = [{ host = "main.example", upstream = "127.0.0.1:1" }]\n`
    const path = await write(t, main, {
      'b.toml': site('b.example'),
      'a.toml': site('z.example') + site('y.example'),
      // None of these: what editors leave behind, and other kinds of files.
      '.hidden.toml': 'not toml',
      'a.toml~': 'not toml',
      README: 'not toml',
      'empty.toml': '# nothing yet\n',
    })
    assert.deepEqual(await hostsOf(path), [['main.example', 'z.example', 'y.example', 'b.example']])
    await writeFile(join(path, '../sites/c.toml'), site('c.example'))
    assert.deepEqual(await hostsOf(path), [
      ['main.example', 'z.example', 'y.example', 'b.example', 'c.example'],
    ])
  },
)

test(
  'a site chooses its listener by any of its addresses; a plain one by its http_port',
  TIMEOUT,
  async (t) => {
    const path = await write(t, `include = ["sites/one.toml"]\n${HEAD}${LISTENER}${SECOND}`, {
      'one.toml': [
        site('a.example', 'listener = "127.0.0.1:443"'),
        site('b.example', 'listener = "[0:0::1]:8080"'),
        site('c.example', 'listener = "127.0.0.1:8080"'),
      ].join(''),
    })
    assert.deepEqual(await hostsOf(path), [['a.example'], ['b.example', 'c.example']])
  },
)

test('a file that two entries name is read once, and the main file never', TIMEOUT, async (t) => {
  const entries = 'include = ["sites/a.toml", "sites/*.toml", "*.toml"]\n'
  const path = await write(t, `${entries}${HEAD}${LISTENER}`, { 'a.toml': site('a.example') })
  assert.deepEqual(await hostsOf(path), [['a.example']])
})

test('[defaults], variables and relative paths hold for included sites', TIMEOUT, async (t) => {
  const main = `${INCLUDE}${HEAD}[defaults]\nresponse_headers = { X-A = "a" }\n${LISTENER}`
  const more = 'response_headers = { X-B = "${B}", X-C = "${file:secret}" }'
  const path = await write(t, main, { 'a.toml': site('a.example', more) })
  await writeFile(join(path, '../secret'), 'c\n')
  const environment = { ...OPTIONS.environment, env: { B: 'b' } }
  const { config } = await loadConfig(path, { ...OPTIONS, environment })
  const changes = config.listeners[0]?.sites[0]?.responseHeaders
  assert.deepEqual(
    changes?.map(({ value }) => value),
    ['a', 'b', 'c'],
  )
})

test(
  'issues of included files name the file, line, column and key there, all of them at once',
  TIMEOUT,
  async (t) => {
    const main = `${INCLUDE}${HEAD}${LISTENER}sites = [{ host = "main.example", upstream = "127.0.0.1" }]\n`
    const path = await write(t, main, {
      'a.toml': `${site('a.example', 'timeout = 3')}${site('main.example')}`,
      'b.toml': `\n${site('a.example', 'request_headers = { X = "${MISSING}" }')}`,
      'c.toml': '[[sites]\n',
      'd.toml': 'workers = 3\ninclude = ["x"]\n[[listeners.sites]]\nhost = "d"\n',
      'e.toml': 'sites = [3]\n',
      'f.toml': `# comment\n${site('f.example', 'listener = "127.0.0.1:8443"')}`,
    })
    const issues = await issuesOf(path)
    const found = (start: string) => issues.filter((issue) => issue.startsWith(start))
    assert.match(found('config.toml:').join('\n'), /^config\.toml:\S+ UPSTREAM_INVALID [^\n]*$/u)
    assert.match(
      found('sites/a.toml:').join('\n'),
      /^sites\/a\.toml:4:1 KEY_UNKNOWN sites\[0\]\.timeout: [^\n]*\nsites\/a\.toml:6:1 HOST_DUPLICATE sites\[1\]\.host: "main\.example" is already the host of listeners\[0\]\.sites\[0\] [^\n]*$/u,
    )
    assert.match(
      found('sites/b.toml:').join('\n'),
      /^sites\/b\.toml:3:1 HOST_DUPLICATE sites\[0\]\.host: "a\.example" is already the host of sites\/a\.toml: sites\[0\] .*\nsites\/b\.toml:5:\d+ VARIABLE_INVALID sites\[0\]\.request_headers\.X: .*MISSING is not set/u,
    )
    assert.match(found('sites/c.toml:').join('\n'), /^sites\/c\.toml:1:\d+ TOML_SYNTAX/u)
    const unknown = found('sites/d.toml:').map((issue) => issue.split(' ').slice(0, 3).join(' '))
    assert.deepEqual(unknown, [
      'sites/d.toml:1:1 KEY_UNKNOWN workers:',
      'sites/d.toml:2:1 KEY_UNKNOWN include:',
      'sites/d.toml:3:1 KEY_UNKNOWN listeners:',
    ])
    assert.match(found('sites/e.toml:').join('\n'), /^sites\/e\.toml:1:\d+ VALUE_INVALID sites\[0\]: /u)
    assert.match(
      found('sites/f.toml:').join('\n'),
      /^sites\/f\.toml:5:1 LISTENER_UNKNOWN sites\[0\]\.listener: .*\(write one of "127\.0\.0\.1:443"\)$/u,
    )
  },
)

test('with several listeners a site has to name its own', TIMEOUT, async (t) => {
  const path = await write(t, `${INCLUDE}${HEAD}${LISTENER}${SECOND}`, { 'a.toml': site('a.example') })
  const hint = '(write one of "127.0.0.1:443", "127.0.0.1:8080", "[::1]:8080")'
  assert.deepEqual(await issuesOf(path), [
    `sites/a.toml:1:1 KEY_MISSING sites[0].listener: listener is required: there are several listeners ${hint}`,
  ])
})

test(
  'a missing file is an error, a pattern without a match a warning, other faults of entries errors',
  TIMEOUT,
  async (t) => {
    const one = `${LISTENER}sites = [{ host = "main.example", upstream = "127.0.0.1:1" }]\n`
    const path = await write(t, `include = ["none/*.toml", "sites/*.toml"]\n${HEAD}${one}`, {})
    const { warnings } = await loadConfig(path, OPTIONS)
    assert.deepEqual(
      warnings.map(({ code, path: key, line }) => [code, key, line]),
      [
        ['INCLUDE_EMPTY', 'include[0]', 1],
        ['INCLUDE_EMPTY', 'include[1]', 1],
      ],
    )
    await symlink('nowhere', join(path, '../sites/broken.toml'))
    await writeConfig(join(path, '..'), `include = ["sites/x.toml", "*/a.toml", "sites/*"]\n${HEAD}${one}`)
    const codes = (await issuesOf(path)).map((issue) => issue.split(' ').slice(1, 3).join(' '))
    assert.deepEqual(codes, [
      'FILE_UNREADABLE include[0]:',
      'INCLUDE_INVALID include[1]:',
      'FILE_UNREADABLE include[2]:',
    ])
    await writeConfig(join(path, '..'), `include = "sites/x.toml"\n${HEAD}${one}`)
    assert.match((await issuesOf(path)).join('\n'), /^config\.toml:1:1 VALUE_INVALID include: [^\n]*$/u)
  },
)

test('the log may not be a file that is included', TIMEOUT, async (t) => {
  const log = '[logging]\nlog_file_path = "sites/a.toml"\n'
  const path = await write(t, `${INCLUDE}${HEAD}${log}${LISTENER}`, { 'a.toml': site('a.example') })
  assert.match(
    (await issuesOf(path)).join('\n'),
    /PATH_CLASH logging\.log_file_path: .*the included file sites\/a\.toml/u,
  )
})
