// A command run to its end, for what it prints.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { shellEnvironment } from './shell.ts'

const execute = promisify(execFile)

/** What it printed, stderr after stdout; rejects with both in the message when it fails. */
export async function runTool(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const { stdout, stderr } = await execute(file, [...args], {
    env: { ...shellEnvironment(), ...env },
    maxBuffer: 64 * 1024 * 1024,
  })
  return stdout + stderr
}
