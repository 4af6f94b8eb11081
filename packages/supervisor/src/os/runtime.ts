// The Node runtime: supported versions, the flags of a worker, and the environment variables for the runtime that our
// processes must not inherit.

/** Release lines with the security fixes of 2026, and the first release of each with these fixes. */
const SUPPORTED = [
  { major: 24, minor: 18, patch: 1 },
  { major: 26, minor: 5, patch: 1 },
] as const

/** The error if `version` (`26.10.0`) cannot run the program; undefined if it can. */
export function unsupportedRuntime(version: string): string | undefined {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  const newest = SUPPORTED.at(-1)
  if (newest !== undefined && major > newest.major) return undefined
  const line = SUPPORTED.find((candidate) => candidate.major === major)
  if (line !== undefined && (minor > line.minor || (minor === line.minor && patch >= line.patch)))
    return undefined
  return (
    `reverse-proxy needs Node 24 from 24.18.1 on, or 26.5.1 or newer; this is Node ${version}. ` +
    'Start it with `npx -y pnpm@12 -F supervisor start`, which brings its own.'
  )
}

/** The error if the working directory was removed: relative paths cannot be resolved then. */
export function removedDirectory(): string | undefined {
  try {
    process.cwd()
    return undefined
  } catch {
    return 'error: the working directory has been removed\n    hint: change to an existing directory (cd /) and start again'
  }
}

/**
 * The flags of a worker: it may use the network, read `readable` (its own code and the resolver's configuration) and
 * write its log, nothing else.
 * @param allowedFlags the flags that the running Node supports (`process.allowedNodeEnvironmentFlags`)
 */
export function workerFlags(
  readable: readonly string[],
  logFilePath: string | undefined,
  allowedFlags: ReadonlySet<string>,
): string[] {
  const flags = [
    '--permission',
    ...readable.map((path) => `--allow-fs-read=${path}`),
    '--disallow-code-generation-from-strings',
    // Warnings that each worker would print: --allow-net is experimental; http-proxy uses util._extend and url.parse.
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=DEP0060',
    '--disable-warning=DEP0169',
  ]
  if (logFilePath !== undefined) flags.push(`--allow-fs-write=${logFilePath}`)
  // SIGUSR1 would open the inspector, which a worker must not have.
  if (allowedFlags.has('--disable-sigusr1')) flags.push('--disable-sigusr1')
  // Node 24 has no --allow-net and does not need it.
  if (allowedFlags.has('--allow-net')) flags.push('--allow-net')
  return flags
}

/** Variables that load code, open the inspector, write files, print secrets or change TLS settings. */
const SIDE_DOOR = /^(?:NODE_|OPENSSL_)/u
/** Certificate authorities of the organisation: a decision of the administrator. */
const WANTED = new Set(['NODE_EXTRA_CA_CERTS', 'NODE_USE_SYSTEM_CA'])

/**
 * Removes the variables from `env` that change how a child of this process runs. launch.sh has removed them from the
 * environment of this process before its start.
 */
export function closeSideDoors(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (SIDE_DOOR.test(name) && !WANTED.has(name)) delete env[name]
}
