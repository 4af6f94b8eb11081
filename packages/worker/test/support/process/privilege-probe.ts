// Loaded by --import into the supervisor, which then loads it into its workers: in a worker, tries what a worker must not be able to do
// and prints what came of each attempt.
import { execFileSync } from 'node:child_process'
import cluster from 'node:cluster'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { isMainThread, Worker } from 'node:worker_threads'

const REACHABLE = process.env['PROBE_FILES']?.split(':') ?? []

const attempts: Readonly<Record<string, () => unknown>> = {
  ...Object.fromEntries(REACHABLE.map((path) => [`read ${path}`, () => readFileSync(path)])),
  'list /': () => readdirSync('/'),
  'read /etc/passwd': () => readFileSync('/etc/passwd'),
  'read /proc/self/environ': () => readFileSync('/proc/self/environ'),
  'write /tmp/probe': () => writeFileSync('/tmp/reverse-proxy-privilege-probe', ''),
  spawn: () => execFileSync('/bin/true'),
  thread: () => new Worker('0', { eval: true }),
  // oxlint-disable-next-line typescript/no-implied-eval -- that is the attempt
  eval: () => Reflect.apply(new Function('return 1'), undefined, []),
  addon: () => process.dlopen({ exports: {} }, '/nonexistent.node'),
  'become root': () => process.setuid?.(0),
}

if (cluster.isPrimary) {
  const setupPrimary = cluster.setupPrimary.bind(cluster)
  // `fork` calls it, too, with nothing to change.
  cluster.setupPrimary = ({ execArgv, ...settings } = {}) =>
    setupPrimary(
      execArgv === undefined
        ? settings
        : { ...settings, execArgv: [...execArgv, `--import=${import.meta.filename}`] },
    )
}

if (cluster.isWorker && isMainThread) {
  for (const [name, attempt] of Object.entries(attempts)) {
    let outcome = 'allowed'
    try {
      attempt()
    } catch (error) {
      outcome = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    }
    process.stderr.write(`probe: ${name}: ${outcome}\n`)
  }
  process.stderr.write(
    `probe: uid ${process.getuid?.()} gid ${process.getgid?.()} groups ${process.getgroups?.().join(',')}\n`,
  )
}
