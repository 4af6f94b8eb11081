// The runner of the tests when a run is cut short: what is counted as what, and what is left behind.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { isAlive } from '../../harness/processes.ts'
import { Program } from '../../harness/program.ts'
import { waitFor } from '../../harness/wait.ts'

test('an aborted run: files that did not end are not run, not failed; their children are ended', async (t) => {
  const directory = temporaryDirectory(t)
  const write = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  const good = `import { test } from 'node:test'\ntest('good', () => {})\n`
  const pidFile = join(directory, 'pid')
  const files = [
    write('a.test.mjs', good),
    write(
      'b.test.mjs',
      `import { test } from 'node:test'
       import { spawn } from 'node:child_process'
       import { renameSync, writeFileSync } from 'node:fs'
       test('hangs', async () => {
         const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
         writeFileSync(${JSON.stringify(`${pidFile}.new`)}, String(child.pid))
         renameSync(${JSON.stringify(`${pidFile}.new`)}, ${JSON.stringify(pidFile)})
         await new Promise((resolve) => setTimeout(resolve, 600_000))
       })`,
    ),
    write('c.test.mjs', good),
  ]
  // Aborts as soon as the child of the second file lives.
  const main = write(
    'main.mjs',
    `import { existsSync } from 'node:fs'
     import { runTestFiles } from ${JSON.stringify(join(import.meta.dirname, '../../run-files.ts'))}
     const abort = new AbortController()
     const timer = setInterval(() => { if (existsSync(${JSON.stringify(pidFile)})) abort.abort() }, 20)
     const totals = await runTestFiles(${JSON.stringify(files)}, {
       cwd: ${JSON.stringify(directory)}, concurrency: 1, testTimeoutMs: 600_000, signal: abort.signal,
     })
     clearInterval(timer)
     console.log('TOTALS ' + JSON.stringify(totals))`,
  )
  const env = { ...process.env }
  delete env['NODE_TEST_CONTEXT']
  const run = new Program(t, process.execPath, [main], { env })
  await run.exited
  const [, totals = ''] = /^TOTALS (.*)$/m.exec(run.stdout.text) ?? []
  assert.deepEqual(JSON.parse(totals), { passed: 1, failed: 0, notRun: files.slice(1) })
  assert.doesNotMatch(
    run.stdout.text.replace(totals, ''),
    /c\.test\.mjs/,
    'a file that did not run is in no list of failures',
  )
  const child = Number(readFileSync(pidFile, 'utf8'))
  await waitFor('the child to be gone', () => !isAlive(child))
})
