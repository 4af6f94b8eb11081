// `status`, `bans`, `reload` and every other command for the running proxy: sends the command to the running proxy over
// its admin socket and prints the reply, for people or, with `json`, for programs.
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { askAdmin } from '../../management/admin/client.ts'
import {
  ADMIN_COMMANDS,
  type AdminReply,
  type AdminCommand,
  type AdminError,
} from '../../management/admin/protocol.ts'
import { renderReport } from '../../management/admin/render.ts'
import { printable } from '../../management/reports/table.ts'
import { processEnvironment } from '../../config/environment.ts'
import { findConfig } from '../../config/find.ts'
import { renderConfigIssues } from '../../config/report.ts'
import { findAdminSocketPath } from '../../management/admin/socket-path.ts'
import { renderFailure } from './terminal.ts'
import type { CommandArgs } from '../usage/table.ts'

/** For commands that change nothing; the others have no limit. */
const REPLY_TIMEOUT_MS = 10_000

export async function ask(
  command: AdminCommand,
  operands: readonly string[],
  { configFlag, json }: Pick<CommandArgs, 'configFlag' | 'json'>,
): Promise<number> {
  try {
    const reply = await askRunning(command, operands, configFlag)
    print(command, reply, json)
    return reply.status === 'ok' ? EXIT_OK : EXIT_FAILURE
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    if (json) process.stdout.write(`${JSON.stringify({ status: 'error', message: error.message })}\n`)
    else process.stderr.write(renderFailure(error))
    return EXIT_FAILURE
  }
}

/** @throws ProxyError ADMIN when no proxy replies */
export async function askRunning<Command extends AdminCommand>(
  command: Command,
  operands: readonly string[],
  configFlag: string | undefined,
): Promise<AdminReply<Command>> {
  const file = await findConfig({ flag: configFlag, env: process.env, cwd: process.cwd() })
  const { path, fault } = await findAdminSocketPath(file, processEnvironment())
  const timeout = ADMIN_COMMANDS[command].changes ? {} : { timeoutMs: REPLY_TIMEOUT_MS }
  return await askAdmin(path, command, operands, timeout).catch((error: unknown) => {
    throw fault === undefined ? error : guessedWrong(fault, error)
  })
}

/** There is no reply at the socket that the file names, and the file has an error: report that error first. */
function guessedWrong(fault: string, cause: unknown): ProxyError {
  return new ProxyError('ADMIN', printable(`${fault}; with the readable part of it, ${messageOf(cause)}`), {
    cause,
    hint: 'the file names the admin socket: correct it and try again; nothing has changed',
  })
}

function print<Command extends AdminCommand>(
  command: Command,
  reply: AdminReply<Command>,
  json: boolean,
): void {
  if (json) process.stdout.write(`${JSON.stringify(reply, undefined, 2)}\n`)
  else if (isError(reply)) process.stderr.write(renderError(reply))
  else process.stdout.write(renderReport(command, reply, Date.now()))
}

function isError(reply: AdminReply<AdminCommand>): reply is AdminError {
  return reply.status === 'error'
}

function renderError({ message, errors = [] }: AdminError): string {
  return `error: ${printable(message)}\n${renderConfigIssues(errors, { color: process.stderr.isTTY })}`
}
