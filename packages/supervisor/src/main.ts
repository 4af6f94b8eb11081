#!/usr/bin/env node
// Entry point: refuses a Node that cannot run the program before anything is loaded that needs it.
import { EXIT_FAILURE } from '@reverse-proxy/shared/exit-codes'
import { unsupportedRuntime } from './runtime.ts'

const refusal = unsupportedRuntime(process.versions.node)
if (refusal === undefined) {
  const { main } = await import('./cli.ts')
  process.exit(await main(process.argv.slice(2)))
} else {
  process.stderr.write(`${refusal}\n`)
  process.exitCode = EXIT_FAILURE
}
