// `completion SHELL`: prints the script that makes the shell complete our commands.
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { renderCompletion } from '../completion.ts'
import { SHELLS } from '../table.ts'

export function completion([name = '']: readonly string[]): number {
  const shell = SHELLS.find((known) => known === name)
  if (shell === undefined) {
    process.stderr.write(
      `reverse-proxy: no completion for "${name}"\n    hint: there is ${SHELLS.join(', ')}\n`,
    )
    return EXIT_FAILURE
  }
  process.stdout.write(renderCompletion(shell))
  return EXIT_OK
}
