// Loads a configuration file as a Config, or reports every error in it at once: the schema, the rules and the files
// that it names are all checked, each on the parts that the others found valid.
import { dirname, resolve } from 'node:path'
import { domainToASCII } from 'node:url'
import type { Config } from '@reverse-proxy/shared/config/config'
import { configIssue, type ConfigIssue, type IssueCode } from '@reverse-proxy/shared/config/issues'
import { checkRules } from '@reverse-proxy/shared/config/rules/rules'
import { checkCaches, checkSharedCaches } from './cache-directories.ts'
import { ConfigErrors, fileError, type LocatedIssue } from './document/config-errors.ts'
import type { Environment } from './environment.ts'
import { checkFiles } from './files.ts'
import { checkPasswordFiles } from './password-files.ts'
import { adviseAccount, checkMachine } from './machine.ts'
import { toConfig } from './normalise.ts'
import { decodeText, parseToml } from './document/parse.ts'
import { expandVariables } from './document/variables.ts'
import { displayName, STANDARD_INPUT } from './find.ts'
import { includeSites, type Included } from './include/include.ts'
import { IssueLocator } from './document/locate.ts'
import { checkPaths } from './path-clashes.ts'
import { READ_HINTS, readConfigFile, ReadError, readStandardInput } from '../os/read-file.ts'
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
  const isFile = path !== STANDARD_INPUT
  const file = displayName(path)
  const text = decodeText(file, await readConfig(path, file))
  const { allowWildcardBindFlag, environment, checksCaches = false } = options
  const directory = isFile ? dirname(resolve(path)) : process.cwd()
  const resolvePath = (name: string) => resolve(directory, name)
  const document = parseToml(file, text)
  const locator = new IssueLocator({ file, text })
  const sources = { env: environment.env, resolvePath }
  const variableIssues = await expandVariables(document, sources)
  const ownPath = isFile ? resolve(path) : undefined
  const included = await includeSites(document, { ...sources, ownPath, locator })
  const { issues: breaches, valid, complete } = checkDocument(document)

  const context = { allowWildcardBind: allowWildcardBindFlag, resolvePath, toAscii: domainToASCII }
  const { issues: fileIssues, upstreamCaPem, clientCaPem } = await checkFiles(valid, context)

  const { issues: passwordIssues, passwordFiles } = await checkPasswordFiles(valid, context)

  const machineIssues = await checkMachine(valid, environment, context)
  const sharedCaches = await checkSharedCaches(valid, context)
  const cacheIssues = checksCaches ? await checkCaches(valid, context) : []

  const rules = checkRules(valid, context)
  const pathIssues = await checkPaths(valid, {
    environment,
    configPath: ownPath,
    includedPaths: included.paths,
    resolvePath,
  })
  const found = [
    ...variableIssues,
    ...included.issues,
    ...breaches,
    ...rules,
    ...pathIssues,
    ...fileIssues,
    ...passwordIssues,
    ...machineIssues,
    ...sharedCaches,
    ...cacheIssues,
  ]
  const located = await locator.locate(withoutConsequences(found, included))
  const issues = [...located, ...included.located]
  if (complete === undefined || issues.some(({ severity }) => severity === 'error')) {
    throw new ConfigErrors(file, issues)
  }
  const config = toConfig(complete, {
    environment,
    allowWildcardBindFlag,
    resolvePath,
    upstreamCaPem,
    clientCaPem,
    passwordFiles,
  })
  const advice = adviseAccount(complete.user, environment.isRoot)
  return { config, warnings: [...(await locator.locate(advice)), ...issues] }
}

/** Codes of issues that say all there is to say about a path. */
const FINAL_CODES: readonly IssueCode[] = ['PATH_TILDE', 'VARIABLE_INVALID']

/** Drops further issues of a path that is wrong as a whole, and a lack of sites that could not be included. */
function withoutConsequences(issues: readonly ConfigIssue[], included: Included): readonly ConfigIssue[] {
  const wrong = new Set(issues.filter(({ code }) => FINAL_CODES.includes(code)).map(({ path }) => path))
  const isIncomplete = [...included.issues, ...included.located].some(({ severity }) => severity === 'error')
  return issues
    .filter(({ code, path }) => FINAL_CODES.includes(code) || !wrong.has(path))
    .filter(({ code }) => code !== 'SITES_EMPTY' || !isIncomplete)
}

async function readConfig(path: string, file: string): Promise<Buffer> {
  try {
    return path === STANDARD_INPUT ? await readStandardInput() : await readConfigFile(path)
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    const { fault, message } = error
    const code =
      fault === 'changed'
        ? 'CONFIG_CHANGED'
        : fault === 'too-large'
          ? 'CONFIG_TOO_LARGE'
          : 'CONFIG_UNREADABLE'
    // Some hints in READ_HINTS are for paths inside the file.
    const hint =
      fault === 'missing'
        ? 'check the spelling of --config or $REVERSE_PROXY_CONFIG'
        : path === STANDARD_INPUT && fault === 'failed'
          ? 'start the proxy with --config FILE to be able to reload, or start it again with the new configuration'
          : READ_HINTS[fault]
    const issue = configIssue(code, [], message, hint)
    throw fileError(file, issue, { cause: error })
  }
}
