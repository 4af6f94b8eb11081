// Finds the files that `include` names: a file, or every file of one directory whose name matches a pattern. Reads
// directories, not files.
import { readdir } from 'node:fs/promises'
import { basename, dirname, join, matchesGlob } from 'node:path'
import { configIssue, type ConfigIssue } from '@reverse-proxy/shared/config/issues'
import { codeOf } from '@reverse-proxy/shared/error-text'

const WILDCARD = /[*?[{]/u

export interface FoundFile {
  readonly path: string
  /** The index of the first entry of `include` that names the file. */
  readonly entry: number
}

/**
 * Returns each file once: in the order of `patterns`, and sorted by name for each of them. Never returns `ownPath`, the
 * file that includes.
 */
export async function findIncluded(
  patterns: readonly (readonly [entry: number, pattern: string])[],
  { resolvePath, ownPath }: { resolvePath: (path: string) => string; ownPath: string | undefined },
): Promise<{ files: readonly FoundFile[]; issues: readonly ConfigIssue[] }> {
  const entries = new Map<string, number>()
  const issues: ConfigIssue[] = []
  for (const [entry, pattern] of patterns) {
    const matches = await matchesOf(resolvePath(pattern), ['include', entry])
    if (!Array.isArray(matches)) issues.push(matches)
    else for (const path of matches) if (path !== ownPath && !entries.has(path)) entries.set(path, entry)
  }
  return { files: [...entries].map(([path, entry]) => ({ path, entry })), issues }
}

async function matchesOf(pattern: string, at: ConfigIssue['at']): Promise<string[] | ConfigIssue> {
  const directory = dirname(pattern)
  const name = basename(pattern)
  if (WILDCARD.test(directory)) {
    const message = `${pattern} has a wildcard in the name of a directory`
    return configIssue('INCLUDE_INVALID', at, message, 'write a pattern for each directory: "sites/*.toml"')
  }
  if (!WILDCARD.test(name)) return [pattern]
  try {
    const names = (await readdir(directory)).filter((one) => matchesGlob(one, name)).toSorted()
    if (names.length > 0) return names.map((one) => join(directory, one))
  } catch (error) {
    const code = codeOf(error)
    if (code !== 'ENOENT') {
      const hint = 'name a directory that the account that starts the program may list'
      return configIssue('FILE_UNREADABLE', at, `${directory} cannot be listed: ${String(code)}`, hint)
    }
  }
  const hint = 'check the spelling; a relative path counts from the directory of the configuration file'
  return configIssue('INCLUDE_EMPTY', at, `no file matches ${pattern}`, hint)
}
