// Variables in the strings of a document: ${NAME} for the environment, ${file:PATH} for the content of a file, $$ for a
// dollar.
import { configIssue, type ConfigIssue, type ConfigPath } from '@reverse-proxy/shared/config/issues'
import { READ_HINTS, ReadError, readSmallFile } from '../../os/read-file.ts'

export interface VariableSources {
  readonly env: NodeJS.ProcessEnv
  readonly resolvePath: (path: string) => string
}

const VARIABLE = /\$\$|\$\{([^}]*)\}/gu
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/u
const FILE = 'file:'

/** Replaces the variables in every string of `document`, in place. A string with a fault becomes undefined. */
export async function expandVariables(document: unknown, sources: VariableSources): Promise<ConfigIssue[]> {
  const issues: ConfigIssue[] = []
  const files = new Map<string, string | ConfigFault>()
  const visit = async (value: unknown, at: ConfigPath): Promise<unknown> => {
    if (typeof value === 'string') return await expand(value, at)
    if (isContainer(value)) {
      for (const [key, member] of Object.entries(value)) {
        // Most values have none: nothing is waited for on their account.
        if (typeof member === 'string' && !member.includes('$')) continue
        const step = Array.isArray(value) ? Number(key) : key
        value[key] = await visit(member, [...at, step])
      }
    }
    return value
  }
  const expand = async (text: string, at: ConfigPath): Promise<string | undefined> => {
    let expanded = ''
    let end = 0
    for (const match of text.matchAll(VARIABLE)) {
      const [whole, name] = match
      const value = name === undefined ? '$' : await valueOf(name)
      if (typeof value !== 'string') {
        issues.push(configIssue('VARIABLE_INVALID', at, value.message, value.hint))
        return undefined
      }
      expanded += text.slice(end, match.index) + value
      end = match.index + whole.length
    }
    return expanded + text.slice(end)
  }
  const valueOf = async (name: string): Promise<string | ConfigFault> => {
    if (!name.startsWith(FILE)) return environmentValue(name, sources.env)
    const path = sources.resolvePath(name.slice(FILE.length))
    const known = files.get(path) ?? (await fileValue(path))
    files.set(path, known)
    return known
  }
  await visit(document, [])
  return issues
}

interface ConfigFault {
  readonly message: string
  readonly hint: string
}

function environmentValue(name: string, env: NodeJS.ProcessEnv): string | ConfigFault {
  if (!NAME.test(name)) {
    const hint = 'write ${NAME}, ${file:/path}, or $$ for a dollar'
    return { message: `"${name}" is no name of an environment variable`, hint }
  }
  const value = env[name]
  if (value !== undefined) return value
  const hint = `set it for the program, for example with Environment=${name}=... in the unit, or write $$ for a dollar`
  return { message: `the environment variable ${name} is not set`, hint }
}

/** Without its last newline: editors add one. */
async function fileValue(path: string): Promise<string | ConfigFault> {
  try {
    return (await readSmallFile(path)).toString().replace(/\r?\n$/u, '')
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    return { message: error.message, hint: READ_HINTS[error.fault] }
  }
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(value instanceof Date)
}
