// Every broken file in fixtures/config/broken is refused with exactly the codes that its first line lists.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ISSUES, type IssueCode } from '@reverse-proxy/shared/config/issues'
import { ConfigErrors, type LocatedIssue } from '../../src/config/document/config-errors.ts'
import { loadConfig } from '../../src/config/load.ts'
import { makeDirectory, OPTIONS, writeCertificates, writeConfig } from '../support/config-directory.ts'

const FIXTURES = join(import.meta.dirname, '../fixtures/config/broken')
const EXPECT = '# expect: '

test('a broken configuration', { timeout: 60_000 }, async (t) => {
  const directory = await makeDirectory(t)
  await writeCertificates(directory)
  const seen = new Set<IssueCode>()

  for (const name of (await readdir(FIXTURES)).toSorted()) {
    await t.test(`${name}: every error at once, each with its place and a hint`, async () => {
      const text = await readFile(join(FIXTURES, name), 'utf8')
      const [first = ''] = text.split('\n')
      assert.ok(first.startsWith(EXPECT), 'the first line says what to expect')
      const error = await refusal(await writeConfig(directory, text))
      const codes = error.issues.map(({ code }) => code)
      assert.deepEqual(codes, first.slice(EXPECT.length).split(' '))
      for (const issue of error.issues) {
        assert.notEqual(issue.hint, '')
        assertPlaced(issue, text.split('\n'))
        seen.add(issue.code)
      }
    })
  }

  await t.test('the fixtures show every rule of the specification', () => {
    const rules = new Set<number>([...seen].flatMap((code) => ISSUES[code].rules))
    assert.deepEqual(
      [...rules].toSorted((a, b) => a - b),
      Array.from({ length: 25 }, (_, index) => index + 1),
    )
  })
})

/** The place is that of the key, or of the table in which it is missing. */
function assertPlaced(issue: LocatedIssue, lines: readonly string[]): void {
  const { code, line, column, at } = issue
  assert.ok(line !== undefined && column !== undefined, `${issue.code} has a place`)
  const rest = lines[line - 1]?.slice(column - 1) ?? ''
  const key = at.findLast((step) => typeof step === 'string')
  const isKey = key !== undefined && (rest.startsWith(key) || rest.startsWith(`"${key}"`))
  const isElement = (typeof at.at(-1) === 'number' || code === 'KEY_MISSING') && /^["{]/u.test(rest)
  const isTable = rest.startsWith('[') || rest.startsWith('sites')
  const isMissingAtTop = line === 1 && at.length === 1
  const isSyntax = at.length === 0
  assert.ok(isKey || isElement || isTable || isMissingAtTop || isSyntax, `${issue.path} is not at "${rest}"`)
}

async function refusal(path: string): Promise<ConfigErrors> {
  try {
    await loadConfig(path, OPTIONS)
  } catch (error) {
    if (error instanceof ConfigErrors) return error
    throw error
  }
  return assert.fail('the configuration was accepted')
}
