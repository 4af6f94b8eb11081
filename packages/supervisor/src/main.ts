#!/usr/bin/env node
// Entry point: handles signals, checks the Node version, then loads the program. It has no static import, because
// imports are evaluated before the first line, and a signal in that time would end the process.

// Ignore these until the log can be reopened: by default SIGUSR1 opens the inspector and SIGUSR2 ends the process.
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})

const { closeSideDoors, removedDirectory, unsupportedRuntime } = await import('./os/runtime.ts')
closeSideDoors(process.env)

const problem = unsupportedRuntime(process.versions.node) ?? removedDirectory()
if (problem === undefined) {
  const { main } = await import('./cli/main.ts')
  process.exit(await main(process.argv.slice(2)))
} else {
  const { EXIT_FAILURE } = await import('@reverse-proxy/shared/exit-codes')
  process.stderr.write(`${problem}\n`)
  process.exitCode = EXIT_FAILURE
}
