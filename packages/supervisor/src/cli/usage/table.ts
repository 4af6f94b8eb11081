// The command line as data: every command and every option, once. --help, the shell completions and the manual page
// are derived from it; cli/main.ts maps each command to its function. Pure.
import { ADMIN_COMMANDS, type AdminCommand } from '../../management/admin/protocol.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

export interface CommandRow {
  /** The argument as usage shows it, in brackets if it may be left out; undefined if the command takes none. */
  readonly operand: string | undefined
  /** Every value of the operand, if they are known. */
  readonly values?: readonly string[]
  /** `proxy`: the running proxy performs the command, which is sent over its admin socket. */
  readonly by: 'itself' | 'proxy'
  readonly summary: string
}

/** Commands that need no running proxy. */
export const LOCAL_COMMANDS = {
  run: { operand: undefined, by: 'itself', summary: 'serve until stopped (the default)' },
  validate: {
    operand: undefined,
    by: 'itself',
    summary: 'check the configuration, print every error, change nothing',
  },
  doctor: {
    operand: undefined,
    by: 'itself',
    summary: 'check DNS names, ports, CAA, the CA, clock, cache and certificates; order nothing',
  },
  explain: {
    operand: 'URL',
    by: 'itself',
    summary:
      'say what happens to a request and why, without sending it; with --config by that file, else by the running proxy',
  },
  passwd: {
    operand: 'USER',
    by: 'itself',
    summary: 'ask for a password and print the line of USER for a basic_auth_file',
  },
  completion: {
    operand: 'SHELL',
    values: SHELLS,
    by: 'itself',
    summary: `print the completion script for a shell: ${SHELLS.join(', ')}`,
  },
} as const satisfies Record<string, CommandRow>

type LocalCommand = keyof typeof LOCAL_COMMANDS
export type CommandName = LocalCommand | AdminCommand

/** In the order in which people read them. */
export const COMMANDS: ReadonlyMap<string, CommandRow> = new Map<string, CommandRow>([
  ...Object.entries(LOCAL_COMMANDS),
  ...Object.entries(ADMIN_COMMANDS).map(([name, { operand, summary }]): [string, CommandRow] => [
    name,
    { operand, by: 'proxy', summary },
  ]),
])

interface OptionRow {
  readonly type: 'string' | 'boolean'
  /** The value as usage shows it; undefined for a switch. */
  readonly value?: string
  readonly short?: string
  /** It may be given several times. */
  readonly multiple?: true
  /** Whether the option is valid for a command. */
  readonly isFor: (command: CommandName) => boolean
  readonly summary: string
}

export const OPTIONS = {
  config: {
    type: 'string',
    value: 'PATH',
    isFor: (command) => command !== 'completion' && command !== 'passwd',
    summary:
      'the configuration file, or - for standard input (run, validate, doctor); without it $REVERSE_PROXY_CONFIG, then /etc/reverse-proxy/config.toml, then the built-in local profile',
  },
  'allow-wildcard-bind': {
    type: 'boolean',
    isFor: (command) => ['run', 'validate', 'doctor', 'explain'].includes(command),
    summary: 'permit listeners on 0.0.0.0 and ::',
  },
  validate: {
    type: 'boolean',
    isFor: (command) => command === 'validate',
    summary: 'the same as the command validate',
  },
  dns: {
    type: 'string',
    value: 'ADDRESS',
    isFor: (command) => command === 'doctor',
    summary: "the name server for doctor, instead of this machine's: 9.9.9.9, 127.0.0.1:5353",
  },
  method: {
    type: 'string',
    value: 'METHOD',
    isFor: (command) => command === 'explain',
    summary: 'the method of the request that explain is about; GET without it',
  },
  from: {
    type: 'string',
    value: 'ADDRESS',
    isFor: (command) => command === 'explain',
    summary: 'the address from which it comes; without it 192.0.2.1, which nobody has',
  },
  header: {
    type: 'string',
    value: "'NAME: VALUE'",
    multiple: true,
    isFor: (command) => command === 'explain',
    summary: 'a header field of it; may be given several times',
  },
  json: {
    type: 'boolean',
    isFor: (command) => command !== 'run' && command !== 'completion' && command !== 'passwd',
    summary: 'print JSON',
  },
  help: { type: 'boolean', short: 'h', isFor: () => true, summary: 'print this help' },
  version: { type: 'boolean', isFor: () => true, summary: 'print the version' },
} as const satisfies Record<string, OptionRow>

export type OptionName = keyof typeof OPTIONS

/** Each option with its name, as a row. */
export function optionRows(): readonly (readonly [name: OptionName, row: OptionRow])[] {
  const rows: Readonly<Record<OptionName, OptionRow>> = OPTIONS
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of this very object
  return Object.entries(rows) as [OptionName, OptionRow][]
}

/** The request that `explain` is about. */
export interface RequestFlags {
  readonly method: string | undefined
  readonly from: string | undefined
  /** `NAME: VALUE` */
  readonly headers: readonly string[]
}

/** The parsed options, as every command takes them. */
export interface CommandArgs {
  readonly configFlag: string | undefined
  readonly allowWildcardBind: boolean
  readonly json: boolean
  /** The name server that `doctor` uses instead of this machine's. */
  readonly dns?: string | undefined
  readonly request?: RequestFlags
}

/** Signals and exit codes as help and the manual page describe them. */
export const SIGNALS = [
  ['TERM, INT', 'drain and exit; a second INT, or QUIT, exits at once'],
  ['HUP', 'read the configuration again and replace every worker'],
  ['USR1, USR2', 'reopen the log file, after a rotation'],
  ['TTIN, TTOU', 'add a worker, remove a worker'],
] as const

export const EXIT_CODES = [
  ['0', 'success'],
  ['1', 'failure; standard error has the reason and a hint'],
  ['4', 'every worker has died, and with them the sockets passed by systemd; restart the service'],
] as const
