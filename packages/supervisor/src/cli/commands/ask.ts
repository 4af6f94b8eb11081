// `status`, `workers`, `certs`, `reload`, `restart`, `renew`, `reopen-logs`: one question to the running
// proxy over its admin socket, and its answer for people or, with `json`, for programs.
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { askAdmin } from '../../management/admin/client.ts'
import {
  ADMIN_COMMANDS,
  type AdminAnswer,
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

/** For a command that changes nothing; the others take as long as their work does. */
const ANSWER_TIMEOUT_MS = 10_000

export async function ask(
  command: AdminCommand,
  operands: readonly string[],
  { configFlag, json }: Pick<CommandArgs, 'configFlag' | 'json'>,
): Promise<number> {
  try {
    const file = await findConfig({ flag: configFlag, env: process.env, cwd: process.cwd() })
    const { path, fault } = await findAdminSocketPath(file, processEnvironment())
    const timeout = ADMIN_COMMANDS[command].changes ? {} : { timeoutMs: ANSWER_TIMEOUT_MS }
    const answer = await askAdmin(path, command, operands, timeout).catch((error: unknown) => {
      throw fault === undefined ? error : guessedWrong(fault, error)
    })
    print(command, answer, json)
    return answer.status === 'ok' ? EXIT_OK : EXIT_FAILURE
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    if (json) process.stdout.write(`${JSON.stringify({ status: 'error', message: error.message })}\n`)
    else process.stderr.write(renderFailure(error))
    return EXIT_FAILURE
  }
}

/** The socket that the file names does not answer and the file has an error: report the error of the file first. */
function guessedWrong(fault: string, cause: unknown): ProxyError {
  return new ProxyError('ADMIN', printable(`${fault}; with what could be read of it, ${messageOf(cause)}`), {
    cause,
    hint: 'it says where the running proxy can be asked: correct it and ask again; nothing has changed',
  })
}

function print<Command extends AdminCommand>(
  command: Command,
  answer: AdminAnswer<Command>,
  json: boolean,
): void {
  if (json) process.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`)
  else if (isError(answer)) process.stderr.write(renderError(answer))
  else process.stdout.write(renderReport(command, answer, Date.now()))
}

function isError(answer: AdminAnswer<AdminCommand>): answer is AdminError {
  return answer.status === 'error'
}

function renderError({ message, errors = [] }: AdminError): string {
  return `error: ${printable(message)}\n${renderConfigIssues(errors, { color: process.stderr.isTTY })}`
}
