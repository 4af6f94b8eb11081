// Which Node runs us, with which flags a worker is started on it, and which of the caller's variables for the
// runtime no process of ours is given.

/** Release lines with the security fixes of 2026, and the oldest release of each that has them. */
const SUPPORTED = [
  { major: 24, minor: 18, patch: 1 },
  { major: 26, minor: 5, patch: 1 },
] as const

/** One clear line when `version` (`26.10.0`) cannot run the program; undefined when it can. */
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

/** The error for a process whose working directory is gone: nothing can be found from there. */
export function removedDirectory(): string | undefined {
  try {
    process.cwd()
    return undefined
  } catch {
    return 'error: the working directory has been removed\n    hint: change to one that is there (cd /), and start again'
  }
}

/**
 * Flags of a worker: it may use the network, read `readable` (its own code, and how names are
 * resolved) and write its log, nothing else.
 * `allowedFlags` is what the running Node knows (`process.allowedNodeEnvironmentFlags`).
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
    // Node says of --allow-net that it is experimental, http-proxy uses util._extend and url.parse: once per worker.
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=DEP0060',
    '--disable-warning=DEP0169',
  ]
  if (logFilePath !== undefined) flags.push(`--allow-fs-write=${logFilePath}`)
  // The signal would open the inspector. It stays blocked: a worker wants none.
  if (allowedFlags.has('--disable-sigusr1')) flags.push('--disable-sigusr1')
  // Node 24 has no --allow-net and needs none.
  if (allowedFlags.has('--allow-net')) flags.push('--allow-net')
  return flags
}

/** They load code, open the inspector, write files, print secrets, turn verification off or change the TLS policy. */
const SIDE_DOOR = /^(?:NODE_|OPENSSL_)/u
/** Certificate authorities of the organisation: a decision of whoever runs the machine. */
const WANTED = new Set(['NODE_EXTRA_CA_CERTS', 'NODE_USE_SYSTEM_CA'])

/**
 * Removes from `env` what processes started with it would take for instructions to the runtime. What the running
 * process has been told that way, launch.sh has kept from it.
 */
export function closeSideDoors(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (SIDE_DOOR.test(name) && !WANTED.has(name)) delete env[name]
}
