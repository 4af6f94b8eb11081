// Loads a configuration file as a Config, or reports every error in it at once: the schema, the rules and the files
// that it names are all checked, each on the parts that the others found valid.
import { dirname, resolve } from 'node:path'
import { domainToASCII } from 'node:url'
import type { Config } from '@reverse-proxy/shared/config/config'
import { configIssue, type ConfigIssue, type IssueCode } from '@reverse-proxy/shared/config/issues'
import { checkRules } from '@reverse-proxy/shared/config/rules/rules'
import { checkCaches, checkSharedCaches } from './cache-directories.ts'
import { ConfigErrors, fileError, type LocatedIssue } from './config-errors.ts'
import type { Environment } from './environment.ts'
import { checkFiles } from './files.ts'
import { checkPasswordFiles } from './password-files.ts'
import { adviseAccount, checkMachine } from './machine.ts'
import { toConfig } from './normalise.ts'
import { decodeText, parseToml } from './parse.ts'
import { expandVariables } from './document/variables.ts'
import { locator } from './document/positions.ts'
import { checkPaths } from './path-clashes.ts'
import { READ_HINTS, readConfigFile, ReadError } from '../os/read-file.ts'
import { checkDocument } from './schema/check.ts'

export interface LoadOptions {
  readonly allowWildcardBindFlag: boolean
  readonly environment: Environment
  /** Checks the contents of the cache directories as well: for `validate`. A start finds these faults by itself. */
  readonly checksCaches?: boolean
}

export interface LoadedConfig {
  readonly config: Config
  readonly warnings: readonly LocatedIssue[]
}

/** Reads and checks everything, changes nothing. Throws ConfigErrors. */
export async function loadConfig(path: string, options: LoadOptions): Promise<LoadedConfig> {
  const text = decodeText(path, await readConfig(path))
  const { allowWildcardBindFlag, environment, checksCaches = false } = options
  const directory = dirname(resolve(path))
  const resolvePath = (name: string) => resolve(directory, name)
  const document = parseToml(path, text)
  const variableIssues = await expandVariables(document, { env: environment.env, resolvePath })
  const { issues: breaches, valid, complete } = checkDocument(document)

  const context = { allowWildcardBind: allowWildcardBindFlag, resolvePath, toAscii: domainToASCII }
  const { issues: fileIssues, upstreamCaPem } = await checkFiles(valid, context)

  const { issues: passwordIssues, passwordFiles } = await checkPasswordFiles(valid, context)

  const machineIssues = await checkMachine(valid, environment, context)
  const sharedCaches = await checkSharedCaches(valid, context)
  const cacheIssues = checksCaches ? await checkCaches(valid, context) : []

  const rules = checkRules(valid, context)
  const pathIssues = await checkPaths(valid, { environment, configPath: resolve(path), resolvePath })
  const found = [
    ...variableIssues,
    ...breaches,
    ...rules,
    ...pathIssues,
    ...fileIssues,
    ...passwordIssues,
    ...machineIssues,
    ...sharedCaches,
    ...cacheIssues,
  ]
  const issues = await located(path, text, withoutConsequences(found))
  if (complete === undefined || issues.some(({ severity }) => severity === 'error')) {
    throw new ConfigErrors(path, issues)
  }
  const config = toConfig(complete, {
    environment,
    allowWildcardBindFlag,
    resolvePath,
    upstreamCaPem,
    passwordFiles,
  })
  const advice = adviseAccount(complete.user, environment.isRoot)
  return { config, warnings: [...(await located(path, text, advice)), ...issues] }
}

/** Codes of issues that say all there is to say about a path. */
const FINAL_CODES: readonly IssueCode[] = ['PATH_TILDE', 'VARIABLE_INVALID']

/** Drops further issues of a path that is wrong as a whole. */
function withoutConsequences(issues: readonly ConfigIssue[]): readonly ConfigIssue[] {
  const wrong = new Set(issues.filter(({ code }) => FINAL_CODES.includes(code)).map(({ path }) => path))
  return issues.filter(({ code, path }) => FINAL_CODES.includes(code) || !wrong.has(path))
}

async function readConfig(path: string): Promise<Buffer> {
  try {
    return await readConfigFile(path)
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    const { fault, message } = error
    const code =
      fault === 'changed'
        ? 'CONFIG_CHANGED'
        : fault === 'too-large'
          ? 'CONFIG_TOO_LARGE'
          : 'CONFIG_UNREADABLE'
    // The hint in READ_HINTS is for paths inside the file.
    const hint =
      fault === 'missing' ? 'check the spelling of --config or $REVERSE_PROXY_CONFIG' : READ_HINTS[fault]
    const issue = configIssue(code, [], message, hint)
    throw fileError(path, issue, { cause: error })
  }
}

/** Returns the issues with their positions, in the order of the file. */
async function located(file: string, text: string, issues: readonly ConfigIssue[]): Promise<LocatedIssue[]> {
  if (issues.length === 0) return []
  const locate = await locator(text)
  return issues
    .map((issue) => ({ ...issue, file, ...locate(issue.at) }))
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
}
