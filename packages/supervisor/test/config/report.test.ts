// What an operator sees: the report, the command `validate`, and the keys that are suggested.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { configIssue } from '@reverse-proxy/shared/config/issues'
import { validate } from '../../src/cli/commands/validate.ts'
import { renderConfigIssues } from '../../src/config/report.ts'
import { describeUnknownKey } from '../../src/config/schema/view.ts'
import { HEAD, makeDirectory, writeConfig } from '../support/config-directory.ts'

const ISSUE = {
  ...configIssue('HOST_DUPLICATE', ['listeners', 0, 'sites', 1, 'host'], '"a" is taken', 'write another'),
  file: 'config.toml',
  line: 12,
  column: 3,
}
const WARNING = {
  ...configIssue('KEY_UNUSED', ['group'], 'group does nothing', 'remove it'),
  file: 'config.toml',
  line: undefined,
  column: undefined,
}

test('an issue is two lines, and the last line counts', () => {
  assert.equal(
    renderConfigIssues([ISSUE, WARNING], { color: false }),
    `config.toml:12:3 error HOST_DUPLICATE listeners[0].sites[1].host: "a" is taken
    hint: write another
config.toml warning KEY_UNUSED group: group does nothing
    hint: remove it
1 error, 1 warning
`,
  )
})

test('no issues are no text', () => {
  assert.equal(renderConfigIssues([], { color: true }), '')
})

test('colours are only added', () => {
  const plain = renderConfigIssues([ISSUE, WARNING], { color: false })
  const coloured = renderConfigIssues([ISSUE, WARNING], { color: true })
  assert.notEqual(coloured, plain)
  assert.equal(coloured.replaceAll(/\u001b\[\d+m/gu, ''), plain)
})

test('a value can neither break a line nor reach the terminal', () => {
  const issue = { ...ISSUE, message: 'x\n\u001b[31my\u009b' }
  const text = renderConfigIssues([issue], { color: false })
  assert.match(text, /x\\u000a\\u001b\[31my\\u009b\n {4}hint/u)
})

test('unknown keys: what was probably meant', () => {
  const known = ['http_port', 'https_port', 'bind_addr', 'acme_challenge', 'state_dir']
  const hints = {
    http_prot: 'did you mean "http_port"?',
    httpsPort: 'did you mean "https_port"?',
    'bind-addr': 'did you mean "bind_addr"?',
    challenge: 'did you mean "acme_challenge"?',
    state_directory: 'did you mean "state_dir"?',
    acme_contact: 'acme_contact belongs in [listeners.tls]',
    rate_limit:
      'rate_limit belongs at the top of the file, before the first [table] or in [defaults] or in [[listeners.sites]] or in [[listeners.sites.routes]]',
    zzz: `remove it; known here: ${known.join(', ')}`,
  }
  for (const [key, hint] of Object.entries(hints)) assert.equal(describeUnknownKey(key, known).hint, hint)
})

/** Root is advised to give the workers an account of their own. */
const USER = process.getuid?.() === 0 ? 'user = "nobody"' : ''
const GOOD = `${USER}${HEAD}
[[listeners]]
bind_addr = "127.0.0.1"
tls = { mode = "internal" }
sites = [
  { host = "a.example", upstream = "127.0.0.1:3000" },
  { host = "b.example", upstream = "127.0.0.1:3000" },
]
`

async function runValidate(t: TestContext, text: string, json: boolean) {
  const path = await writeConfig(await makeDirectory(t), text)
  const output = { stdout: '', stderr: '' }
  const exitCode = await validate(
    { configFlag: path, allowWildcardBind: false, json },
    { write: (chunk) => (output.stdout += chunk) },
    { write: (chunk) => (output.stderr += chunk) },
  )
  return { path, exitCode, ...output }
}

test('validate: a good file exits 0 and says what is in it', async (t) => {
  const { path, ...outcome } = await runValidate(t, GOOD, false)
  assert.deepEqual(outcome, {
    exitCode: 0,
    stdout: `configuration ok: 1 listener, 2 sites (${path})\n`,
    stderr: '',
  })
})

test('validate: a bad file exits 1 with the report on stderr', async (t) => {
  const { path, ...outcome } = await runValidate(t, HEAD, false)
  assert.equal(outcome.exitCode, 1)
  assert.equal(outcome.stdout, '')
  assert.match(
    outcome.stderr,
    /^\S+config\.toml:1:1 error LISTENERS_EMPTY listeners: .*\n {4}hint: .*\n1 error\n$/u,
  )
  assert.ok(outcome.stderr.startsWith(path))
})

test('validate --json: an array, whatever the outcome', async (t) => {
  const good = await runValidate(t, GOOD, true)
  assert.deepEqual(JSON.parse(good.stdout), [])
  assert.equal(good.exitCode, 0)
  const bad = await runValidate(t, HEAD, true)
  assert.equal(bad.exitCode, 1)
  assert.deepEqual(JSON.parse(bad.stdout), [
    {
      file: bad.path,
      line: 1,
      column: 1,
      severity: 'error',
      code: 'LISTENERS_EMPTY',
      rules: [1],
      path: 'listeners',
      message: 'listeners is required',
      hint: 'add a [[listeners]] table',
    },
  ])
  assert.equal(good.stderr + bad.stderr, '')
})

test('validate: the place of what only rules know is there too', async (t) => {
  const text = GOOD.replace('b.example', 'A.example')
  const { stderr } = await runValidate(t, text, false)
  const line = text.split('\n').findIndex((content) => content.includes('A.example')) + 1
  assert.match(stderr, new RegExp(`${join('/', 'config.toml')}:${line}:5 error HOST_DUPLICATE`, 'u'))
})
