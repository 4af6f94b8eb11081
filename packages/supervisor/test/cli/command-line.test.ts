// --help, the completions and the manual page come from one table, and real shells take what they are given.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../../test/harness/directory.ts'
import { PROGRAM } from '../../../../test/harness/proxy.ts'
import { renderCompletion } from '../../src/cli/commands/completion.ts'
import { renderHelp, renderManPage } from '../../src/cli/usage/help.ts'
import { COMMANDS, optionRows, SHELLS, type CommandName } from '../../src/cli/usage/table.ts'
import { version } from '../../src/os/version.ts'

const NAMES = [...COMMANDS.keys()]
const FLAGS = optionRows().map(([name]) => `--${name}`)

/** The options that mean nothing to a command; one that asks the proxy that runs is like `status`. */
const USELESS: readonly (readonly [command: CommandName, options: string])[] = [
  ['run', 'validate dns method from header json'],
  ['validate', 'dns method from header'],
  ['doctor', 'validate method from header'],
  ['explain', 'validate dns'],
  ['completion', 'config allow-wildcard-bind validate dns method from header json'],
  ['status', 'allow-wildcard-bind validate dns method from header'],
]

test('every command and option is in --help, in each completion and in the manual page', () => {
  const texts = { help: renderHelp(), man: renderManPage(version).replaceAll('\\-', '-') }
  for (const [where, text] of Object.entries(texts)) {
    for (const word of [...NAMES, ...FLAGS]) assert.ok(text.includes(word), `${word} in ${where}`)
  }
  for (const shell of SHELLS) {
    const text = renderCompletion(shell)
    for (const name of NAMES) assert.match(text, new RegExp(`\\b${name}\\b`, 'u'), `${name} in ${shell}`)
    for (const [name] of optionRows()) assert.ok(text.includes(name), `--${name} in ${shell}`)
  }
})

test('an option that does not belong to a command is not valid for it', () => {
  for (const [command, options] of USELESS) {
    const useless = optionRows().filter(([, { isFor }]) => !isFor(command))
    assert.equal(useless.map(([option]) => option).join(' '), options, command)
  }
})

test('no line of --help is wider than 100 columns', () => {
  for (const line of renderHelp().split('\n')) assert.ok(line.length <= 100, line)
})

test('docs/reverse-proxy.1 is up to date: pnpm -F supervisor man writes it', () => {
  const path = join(import.meta.dirname, '../../../../docs/reverse-proxy.1')
  assert.equal(readFileSync(path, 'utf8'), renderManPage(version))
})

test('bash completes commands, options, shells and files', (t) => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'my config.toml'), '')
  const complete = (...words: readonly string[]): string[] => {
    const quoted = words.map((word) => `'${word}'`).join(' ')
    const script = `${renderCompletion('bash')}
COMP_WORDS=(reverse-proxy ${quoted}); COMP_CWORD=${words.length}
_reverse_proxy
printf '%s\\n' "\${COMPREPLY[@]}"`
    const printed = execFileSync('bash', ['--norc', '-c', script], { cwd: directory, encoding: 'utf8' })
    return printed.split('\n').filter((line) => line !== '')
  }
  assert.deepEqual(complete(''), NAMES)
  assert.deepEqual(complete('re'), ['reload', 'restart', 'renew', 'reopen-logs'])
  assert.deepEqual(complete('status', '--js'), ['--json'])
  assert.deepEqual(complete('completion', ''), [...SHELLS])
  assert.deepEqual(complete('run', '--config', 'my'), ['my config.toml'])
  assert.deepEqual(complete('frob'), [])
})

test('fish completes commands, options and shells', (t) => {
  const path = join(temporaryDirectory(t), 'script.fish')
  writeFileSync(path, renderCompletion('fish'))
  const complete = (line: string): string[] => {
    const script = `source ${path}; complete -C '${line}'`
    const printed = execFileSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' })
    return printed.split('\n').flatMap((text) => text.split('\t')[0] || [])
  }
  assert.deepEqual(new Set(complete('reverse-proxy ')), new Set(NAMES))
  assert.deepEqual(complete('reverse-proxy status --js'), ['--json'])
  assert.deepEqual(new Set(complete('reverse-proxy completion ')), new Set(SHELLS))
})

test('zsh takes its completion', (t) => {
  const directory = temporaryDirectory(t)
  const path = join(directory, '_reverse-proxy')
  writeFileSync(path, renderCompletion('zsh'))
  const script = `fpath=(${directory} $fpath); autoload -Uz compinit; compinit -u -d ${directory}/dump
autoload +X -Uz _reverse-proxy; print $_comps[reverse-proxy]`
  assert.equal(execFileSync('zsh', ['-f', '-c', script], { encoding: 'utf8' }), '_reverse-proxy\n')
  execFileSync('zsh', ['--no-exec', path])
})

test('output that is longer than a pipe holds arrives whole; a reader that goes early is no error', async (t) => {
  const path = join(temporaryDirectory(t), 'config.toml')
  writeFileSync(path, Array.from({ length: 2_000 }, (_, index) => `stranger${index} = 1\n`).join(''))
  const start = () => {
    const args = [PROGRAM, 'validate', '--json', '--config', path]
    return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  }
  const whole = start()
  await once(whole.stdout, 'readable')
  const chunks = await whole.stdout.toArray()
  const issues: unknown = JSON.parse(Buffer.concat(chunks).toString())
  assert.ok(Array.isArray(issues) && issues.length > 2_000)

  const early = start()
  early.stdout.once('data', () => early.stdout.destroy())
  const errors = await early.stderr.toArray()
  assert.equal(Buffer.concat(errors).toString(), '')
})
