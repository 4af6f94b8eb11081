// Signals that arrive before the program has loaded.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

for (const signal of ['SIGUSR1', 'SIGUSR2']) {
  test(`${signal} while the first of our modules is loaded does not end the process`, async () => {
    // Sends the signal at the first import of the entry point.
    const hook = `
      import { registerHooks } from 'node:module'
      let isSent = false
      registerHooks({
        load(url, context, next) {
          if (!isSent && url.endsWith('.ts') && url !== ${JSON.stringify(pathToFileURL(MAIN).href)}) {
            isSent = true
            process.kill(process.pid, '${signal}')
          }
          return next(url, context)
        },
      })`
    const args = ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, MAIN, '--version']
    const { error, stdout } = await new Promise<{ error: Error | null; stdout: string }>((resolve) => {
      execFile(process.execPath, args, (cause, text) => resolve({ error: cause, stdout: text }))
    })
    assert.equal(error, null)
    assert.match(stdout, /^reverse-proxy \d/u)
  })
}
