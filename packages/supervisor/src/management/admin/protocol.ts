// The protocol of the admin socket: one command per connection, as a line; the reply is one JSON object. Pure; the
// sockets are in admin-socket.ts and client.ts.
import type { IssueReport } from '../../config/report.ts'
import type {
  BansReport,
  CertsReport,
  ConfigReport,
  ReloadReport,
  RenewReport,
  StatusReport,
  WorkersReport,
} from '../reports/reports.ts'

/** The longest command, its newline included. */
export const COMMAND_BYTES = 4096

interface CommandRow {
  /** The argument as usage shows it, in brackets if it may be left out; undefined if the command takes none. */
  readonly operand: string | undefined
  /** It changes something: each use is logged, and it may take long. */
  readonly changes: boolean
  readonly summary: string
}

/** Every command of the socket, each with the same name on the command line. */
export const ADMIN_COMMANDS = {
  status: {
    operand: undefined,
    changes: false,
    summary: 'show state, workers and certificates of the running proxy',
  },
  workers: { operand: undefined, changes: false, summary: 'list the worker processes' },
  certs: { operand: undefined, changes: false, summary: 'list the certificates: names, days left, failures' },
  config: {
    operand: undefined,
    changes: false,
    summary: 'print the configuration in force as workers have it, as JSON',
  },
  bans: {
    operand: '[ADDRESS]',
    changes: false,
    summary: 'list who is banned and for how long, or whether ADDRESS is',
  },
  unban: { operand: 'ADDRESS', changes: true, summary: 'lift the ban of ADDRESS' },
  reload: { operand: undefined, changes: true, summary: 'apply the configuration file' },
  restart: { operand: undefined, changes: true, summary: 'replace every worker, one at a time' },
  renew: { operand: 'NAME', changes: true, summary: 'renew the certificate for NAME now' },
  'reopen-logs': { operand: undefined, changes: true, summary: 'reopen the log file, after a rotation' },
} as const satisfies Record<string, CommandRow>

export type AdminCommand = keyof typeof ADMIN_COMMANDS

/** The reply of each command, beside `"status":"ok"`. */
export interface AdminReports {
  status: StatusReport
  workers: WorkersReport
  certs: CertsReport
  config: ConfigReport
  bans: BansReport
  unban: Readonly<Record<string, never>>
  reload: ReloadReport
  restart: ReloadReport
  renew: RenewReport
  'reopen-logs': Readonly<Record<string, never>>
}

export interface AdminError {
  readonly status: 'error'
  readonly message: string
  /** Every error of a configuration that was not applied. */
  readonly errors?: readonly IssueReport[]
}

export type AdminReply<Command extends AdminCommand> =
  | ({ readonly status: 'ok' } & AdminReports[Command])
  | AdminError

/** Performs a command and resolves with its report; rejects with CommandError if the command fails. */
export type AdminHandlers = {
  readonly [Command in AdminCommand]: (args: readonly string[]) => Promise<AdminReports[Command]>
}

/** An expected failure, which is the reply. Any other error that a handler throws is logged as an internal error. */
export class CommandError extends Error {
  readonly errors: readonly IssueReport[] | undefined

  constructor(message: string, errors?: readonly IssueReport[]) {
    super(message)
    this.name = 'CommandError'
    this.errors = errors
  }
}

export interface ParsedCommand {
  readonly name: AdminCommand
  readonly args: readonly string[]
}

/** @throws CommandError */
export function parseCommand(line: string): ParsedCommand {
  const [name = '', ...args] = line.trim().split(/\s+/u)
  if (!isAdminCommand(name)) throw new CommandError('unknown command')
  const { operand }: CommandRow = ADMIN_COMMANDS[name]
  const isOptional = operand?.startsWith('[') === true
  if (args.length !== (operand === undefined ? 0 : 1) && !(isOptional && args.length === 0))
    throw new CommandError(`usage: ${[name, operand].filter(Boolean).join(' ')}`)
  return { name, args }
}

export function isAdminCommand(name: string): name is AdminCommand {
  return Object.hasOwn(ADMIN_COMMANDS, name)
}
