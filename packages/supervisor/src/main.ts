#!/usr/bin/env node
// Entry point: checks the Node version before it loads anything that needs it.
import { EXIT_FAILURE } from '@reverse-proxy/shared/exit-codes'
import { closeSideDoors, removedDirectory, unsupportedRuntime } from './os/runtime.ts'

// Ignore these until the log can be reopened: by default SIGUSR1 opens the inspector and SIGUSR2 ends the process.
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})
closeSideDoors(process.env)

const problem = unsupportedRuntime(process.versions.node) ?? removedDirectory()
if (problem === undefined) {
  const { main } = await import('./cli/main.ts')
  process.exit(await main(process.argv.slice(2)))
} else {
  process.stderr.write(`${problem}\n`)
  process.exitCode = EXIT_FAILURE
}
