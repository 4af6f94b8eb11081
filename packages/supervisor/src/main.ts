#!/usr/bin/env node
// Entry point: refuses a Node that cannot run the program before anything is loaded that needs it.
import { EXIT_FAILURE } from '@reverse-proxy/shared/exit-codes'
import { closeSideDoors, removedDirectory, unsupportedRuntime } from './os/runtime.ts'

// Until there is a log that they could have opened anew: the first would open the inspector, the second end us.
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {})
closeSideDoors(process.env)

const refusal = unsupportedRuntime(process.versions.node) ?? removedDirectory()
if (refusal === undefined) {
  const { main } = await import('./cli/main.ts')
  process.exit(await main(process.argv.slice(2)))
} else {
  process.stderr.write(`${refusal}\n`)
  process.exitCode = EXIT_FAILURE
}
