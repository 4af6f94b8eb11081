// What a user's own shell has, outside of everything that a package manager set up for the tests.
import { delimiter, dirname } from 'node:path'
import { findProgram } from '../../requirements.ts'

const SET_BY_TOOLS = /^(npm_|pnpm_|NODE_|COREPACK_|INIT_CWD$|NODE$|REVERSE_PROXY_|XDG_|CI$)/i

/** The environment of a fresh shell: nothing of the tools that started the tests, none of the project's programs. */
export function shellEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !SET_BY_TOOLS.test(name))
  return { ...Object.fromEntries(entries), PATH: shellPath() }
}

function shellPath(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.filter((folder) => !folder.includes('node_modules')).join(delimiter)
}

export interface Launcher {
  readonly file: string
  readonly args: readonly string[]
  /** What runs it, for the reader of the test's output. */
  readonly description: string
}

/**
 * `npx -y pnpm@12` as a user types it, on the machine's own Node. Where there is none, as in an image
 * that holds this project alone, the package manager that runs the tests.
 */
export function pnpmLauncher(): Launcher {
  const npx = findProgram('npx', shellPath())
  if (npx !== undefined) {
    const node = findProgram('node', shellPath()) ?? dirname(npx)
    return { file: npx, args: ['-y', 'pnpm@12'], description: `npx with ${node}` }
  }
  const pnpm = process.env['npm_execpath']
  if (pnpm === undefined) throw new Error('neither npx nor the pnpm that started the tests is to be found')
  return { file: pnpm, args: [], description: `no other Node on this machine: ${pnpm}` }
}
