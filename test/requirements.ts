// The programs that tests run besides our own: found, installed where that is possible, or named.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Program -> the Debian package that has it. */
const PROGRAMS: Readonly<Record<string, string>> = {
  pebble: 'pebble',
  'pebble-challtestsrv': 'pebble',
  openssl: 'openssl',
  htpasswd: 'apache2-utils',
  curl: 'curl',
  script: 'bsdutils',
  slowhttptest: 'slowhttptest',
  perl: 'perl-base',
  prlimit: 'util-linux',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  'systemd-analyze': 'systemd',
  'systemd-notify': 'systemd',
  'fail2ban-regex': 'fail2ban',
  logrotate: 'logrotate',
  chromium: 'chromium',
  'systemd-socket-activate': 'systemd',
  zsh: 'zsh',
  fish: 'fish',
  lighttpd: 'lighttpd',
  haproxy: 'haproxy',
  nginx: 'nginx',
  nghttp: 'nghttp2-client',
  python3: 'python3',
}

/** Of programs that are no program of their own: a file -> the Debian package that has it. */
const FILES: Readonly<Record<string, string>> = {
  '/usr/lib/python3/dist-packages/h2/__init__.py': 'python3-h2',
}

/** Where a program is found in a search path; undefined when it is not there. Debian's servers are in /usr/sbin. */
export function findProgram(
  name: string,
  searchPath = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin`,
): string | undefined {
  return searchPath
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/** One line saying what is missing and how to get it, after trying to; undefined when all is there. */
export function provideRequirements(): string | undefined {
  if (missingPrograms().length > 0 && mayInstall()) install(packagesOf(missingPrograms()))
  const missing = missingPrograms()
  if (missing.length === 0) return undefined
  const packages = packagesOf(missing).join(' ')
  return `The tests need ${missing.join(', ')}. On Debian, as root: apt-get install ${packages}`
}

function missingPrograms(): string[] {
  return [
    ...Object.keys(PROGRAMS).filter((program) => findProgram(program) === undefined),
    ...Object.keys(FILES).filter((file) => !existsSync(file)),
  ]
}

function packagesOf(programs: readonly string[]): string[] {
  return [...new Set(programs.map((program) => PROGRAMS[program] ?? FILES[program] ?? program))]
}

function mayInstall(): boolean {
  return process.getuid?.() === 0 && findProgram('apt-get') !== undefined
}

// Quietly: what fails shows in the one line that follows. Another installation may be going on.
function install(packages: readonly string[]): void {
  process.stdout.write(`Installing for the tests: ${packages.join(' ')}\n`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const aptGet = (...args: string[]) =>
    spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=120', ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env,
    })
  aptGet('update')
  const { status, stderr } = aptGet('install', '--yes', '--no-install-recommends', ...packages)
  if (status !== 0) process.stderr.write(stderr)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
