// `run`: loads the configuration and serves until stopped. The composition root of the process.
import { systemClock } from '@reverse-proxy/shared/clock'
import type { Config } from '@reverse-proxy/shared/config/config'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE } from '@reverse-proxy/shared/exit-codes'
import { findAccount } from '../../os/account.ts'
import { internalCaPath } from '../../certificates/internal/ca.ts'
import { ConfigErrors } from '../../config/document/config-errors.ts'
import { processEnvironment } from '../../config/environment.ts'
import { findConfig } from '../../config/find.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { loadConfigOrProfile } from '../../config/local-profile.ts'
import { renderConfigIssues } from '../../config/report.ts'
import { Management } from '../../management/management.ts'
import { RecentEvents } from '../../management/page/recent-events.ts'
import { prepareLogFile } from '../../os/log-file.ts'
import { SupervisorLogs } from '../../os/logs.ts'
import { fitConnections, openFileLimit } from '../../os/open-files.ts'
import { Supervisor } from '../../supervisor.ts'
import { createProgressPrinter, renderFailure, renderLocalProfile } from './terminal.ts'
import {
  describeListenFds,
  InheritedSockets,
  takeListenFds,
  unclaimedSockets,
} from '../../systemd/inherited-sockets.ts'
import { ServiceManager, takeNotifyEnvironment } from '../../systemd/notify.ts'
import { prepareWorkerProcess } from '../../workers/worker-process.ts'
import type { CommandArgs } from '../usage/table.ts'

/** A shutdown allows 2 s for the log; the workers use up to half of it. */
const FLUSH_TIMEOUT_MS = 1_000
/** New files are accessible to their owner only, unless their creator sets another mode. */
const UMASK = 0o077

export async function run(args: CommandArgs): Promise<number> {
  try {
    return await serve(args)
  } catch (error) {
    if (error instanceof ConfigErrors) {
      process.stderr.write(renderConfigIssues(error.issues, { color: process.stderr.isTTY }))
      return EXIT_FAILURE
    }
    if (!(error instanceof ProxyError)) throw error
    process.stderr.write(renderFailure(error))
    return EXIT_FAILURE
  }
}

async function serve(args: CommandArgs): Promise<number> {
  process.umask(UMASK)
  const environment = processEnvironment()
  const path = await findConfig({ flag: args.configFlag, env: process.env, cwd: process.cwd() })
  const load = async (): Promise<LoadedConfig> =>
    await loadConfigOrProfile(path, { allowWildcardBindFlag: args.allowWildcardBind, environment })
  const notifyEnvironment = takeNotifyEnvironment(process.env)
  const inheritedSockets = new InheritedSockets(await describeListenFds(takeListenFds(process.env)))
  const { config: wanted, warnings } = await load()
  process.stderr.write(renderConfigIssues(warnings, { color: process.stderr.isTTY }))

  const openFiles = await openFileLimit()
  const { config, warning } = fitConnections(wanted, openFiles)
  const account = environment.isRoot ? await findAccount(config.user, config.group) : undefined
  await prepareLogFile(config.logging.filePath, account)
  prepareWorkerProcess(config, account)
  const logs = new SupervisorLogs(config.logging)
  for (const { fd, address, port } of unclaimedSockets(config, inheritedSockets.current))
    logs.warn('SYSTEMD', { error: 'no listener is configured for this socket', fd, address, port })
  const events = new RecentEvents(logs)
  if (warning !== undefined) events.warn('OPEN_FILES', warning)
  const serviceManager = new ServiceManager({ log: logs, ...notifyEnvironment })
  const supervisor = new Supervisor({
    config,
    loadConfig: async () => {
      const loaded = await load()
      return { ...loaded, config: fitConnections(loaded.config, openFiles).config }
    },
    prepareProcess: async (next) => {
      await prepareLogFile(next.logging.filePath, account)
      prepareWorkerProcess(next, account)
      logs.configure(next.logging)
    },
    reopenLogs: async () => {
      await prepareLogFile(logs.filePath, account)
      logs.reopen()
    },
    clock: systemClock,
    log: events,
    serviceManager,
    inheritedSockets,
    createInterfaces: (core) => new Management({ ...core, clock: systemClock, log: events, events }),
    onProgress: createProgressPrinter(process.stderr),
    onReady: () => {
      if (path === undefined) process.stdout.write(describeLocalProfile(config))
    },
    onFailure: (error) => process.stderr.write(renderFailure(error)),
  })
  const exitCode = await supervisor.run()
  await serviceManager.close()
  await Promise.race([logs.flush(), new Promise((resolve) => setTimeout(resolve, FLUSH_TIMEOUT_MS))])
  logs.abandon()
  return exitCode
}

function describeLocalProfile(config: Config): string {
  const [listener] = config.listeners
  if (listener === undefined) return ''
  const { httpsPort, httpPort } = listener
  return renderLocalProfile({
    pid: process.pid,
    httpsPort,
    httpPort,
    caPath: internalCaPath(config.stateDir),
  })
}
