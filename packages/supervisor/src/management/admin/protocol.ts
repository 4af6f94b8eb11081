// The protocol of the admin socket: one command in a line, one JSON object back. Pure; the sockets are in
// admin-socket.ts and client.ts.
import type { IssueReport } from '../../config/report.ts'
import type {
  CertsReport,
  ReloadReport,
  RenewReport,
  StatusReport,
  WorkersReport,
} from '../reports/reports.ts'

/** The longest command, its newline included. */
export const COMMAND_BYTES = 4096

interface CommandRow {
  /** The argument as usage shows it; undefined if the command takes none. */
  readonly operand: string | undefined
  /** Worth a line in the log each time. */
  readonly changes: boolean
  readonly summary: string
}

/** Every command of the socket, each with the same name on the command line. */
export const ADMIN_COMMANDS = {
  status: { operand: undefined, changes: false, summary: 'how the running proxy is' },
  workers: { operand: undefined, changes: false, summary: 'the worker processes' },
  certs: { operand: undefined, changes: false, summary: 'the certificates: names, days left, what failed' },
  reload: { operand: undefined, changes: true, summary: 'apply the configuration file' },
  restart: { operand: undefined, changes: true, summary: 'replace every worker, one at a time' },
  renew: { operand: 'NAME', changes: true, summary: 'renew the certificate that has NAME now' },
  'reopen-logs': { operand: undefined, changes: true, summary: 'open the log file anew, after a rotation' },
} as const satisfies Record<string, CommandRow>

export type AdminCommand = keyof typeof ADMIN_COMMANDS

/** The reply of each command, beside `"status":"ok"`. */
export interface AdminReports {
  status: StatusReport
  workers: WorkersReport
  certs: CertsReport
  reload: ReloadReport
  restart: ReloadReport
  renew: RenewReport
  'reopen-logs': Readonly<Record<string, never>>
}

export interface AdminError {
  readonly status: 'error'
  readonly message: string
  /** Everything that is wrong with a refused configuration. */
  readonly errors?: readonly IssueReport[]
}

export type AdminAnswer<Command extends AdminCommand> =
  | ({ readonly status: 'ok' } & AdminReports[Command])
  | AdminError

/** Does what a command says and resolves with its report; refuses with AdminRefusal. */
export type AdminHandlers = {
  readonly [Command in AdminCommand]: (args: readonly string[]) => Promise<AdminReports[Command]>
}

/** A refusal that is an ordinary answer; any other error a handler throws is a failure, and logged as one. */
export class AdminRefusal extends Error {
  readonly errors: readonly IssueReport[] | undefined

  constructor(message: string, errors?: readonly IssueReport[]) {
    super(message)
    this.name = 'AdminRefusal'
    this.errors = errors
  }
}

export interface ParsedCommand {
  readonly name: AdminCommand
  readonly args: readonly string[]
}

/** @throws AdminRefusal */
export function parseCommand(line: string): ParsedCommand {
  const [name = '', ...args] = line.trim().split(/\s+/u)
  if (!isAdminCommand(name)) throw new AdminRefusal('unknown command')
  const { operand }: CommandRow = ADMIN_COMMANDS[name]
  if (args.length !== (operand === undefined ? 0 : 1))
    throw new AdminRefusal(`usage: ${[name, operand].filter(Boolean).join(' ')}`)
  return { name, args }
}

export function isAdminCommand(name: string): name is AdminCommand {
  return Object.hasOwn(ADMIN_COMMANDS, name)
}
