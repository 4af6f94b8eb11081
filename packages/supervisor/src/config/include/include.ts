// Reads the files that `include` names, and puts their sites into the document, as if they stood there. Remembers where
// each site comes from, so that every issue of it names its own file.
import {
  configIssue,
  type ConfigIssue,
  type ConfigPath,
  type IssueCode,
} from '@reverse-proxy/shared/config/issues'
import { READ_HINTS, readConfigFile, ReadError } from '../../os/read-file.ts'
import { ConfigErrors, type LocatedIssue } from '../document/config-errors.ts'
import { expandVariables, type VariableSources } from '../document/variables.ts'
import { IssueLocator, type TextSource } from '../document/locate.ts'
import { decodeText, parseToml } from '../document/parse.ts'
import { findIncluded, type FoundFile } from './find.ts'
import { isTable, placeSites } from './place-sites.ts'

export interface Included {
  /** Absolute paths. */
  readonly paths: readonly string[]
  /** Issues with paths of the document, sites of included files among them. */
  readonly issues: readonly ConfigIssue[]
  /** Issues of included files about something that the document has no path for. */
  readonly located: readonly LocatedIssue[]
}

interface IncludeContext extends VariableSources {
  /** The file that includes; undefined for standard input. */
  readonly ownPath: string | undefined
  readonly locator: IssueLocator
}

/** Adds the included sites to `document`. Faults of the key `include` itself are for the schema to report. */
export async function includeSites(document: unknown, context: IncludeContext): Promise<Included> {
  const written = isTable(document) ? document['include'] : undefined
  if (!isTable(document) || !Array.isArray(written)) return { paths: [], issues: [], located: [] }
  const patterns = [...written.entries()].filter(
    (entry): entry is [number, string] => typeof entry[1] === 'string' && entry[1] !== '',
  )
  const { files, issues: found } = await findIncluded(patterns, context)
  const issues = [...found]
  const located: LocatedIssue[] = []
  for (const { path, entry } of files) {
    try {
      const text = await readIncluded({ path, entry })
      if (typeof text !== 'string') {
        issues.push(text)
        continue
      }
      const source: TextSource = { file: path, text }
      const included = parseToml(path, text)
      if (!isTable(included)) continue
      const faults = await expandVariables(included, context)
      const placed = placeSites(document, included)
      for (const [index, at] of placed.paths) context.locator.move(at, source, ['sites', index])
      const own = [...placed.issues]
      for (const fault of faults) {
        const moved = movedPath(fault.at, placed.paths)
        if (moved === undefined) own.push(fault)
        else issues.push(configIssue(fault.code, moved, fault.message, fault.hint))
      }
      located.push(...(await new IssueLocator(source).locate(own)))
    } catch (error) {
      if (!(error instanceof ConfigErrors)) throw error
      located.push(...error.issues)
    }
  }
  return { paths: files.map(({ path }) => path), issues, located }
}

/** The path in the document of a path in an included file; undefined if its site is not there. */
function movedPath(at: ConfigPath, paths: ReadonlyMap<number, ConfigPath>): ConfigPath | undefined {
  const [, index, ...rest] = at
  const base = typeof index === 'number' ? paths.get(index) : undefined
  return base === undefined ? undefined : [...base, ...rest]
}

async function readIncluded({ path, entry }: FoundFile): Promise<string | ConfigIssue> {
  try {
    return decodeText(path, await readConfigFile(path))
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    const code: IssueCode = error.fault === 'changed' ? 'CONFIG_CHANGED' : 'FILE_UNREADABLE'
    return configIssue(code, ['include', entry], error.message, READ_HINTS[error.fault])
  }
}
