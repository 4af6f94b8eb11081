// argv -> command -> exit code. What the commands do is in commands/.
import { parseArgs } from 'node:util'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { run } from './commands/run.ts'
import { validate } from './commands/validate.ts'
import { version } from './version.ts'

const HELP = `reverse-proxy: HTTPS for the services of this machine, with certificates of its own

Usage: reverse-proxy [command] [options]

Commands
  run        serve until told to stop (the default)
  validate   check the configuration, print every error, change nothing

Options
  --config PATH           the configuration file; without it $REVERSE_PROXY_CONFIG, then
                          /etc/reverse-proxy/config.toml, then the built-in local profile
  --allow-wildcard-bind   permit listeners on 0.0.0.0 and ::
  --validate              the same as the command validate
  --json                  print for programs (validate)
  --help, --version

Signals: TERM and INT drain and exit (a second INT, or QUIT, cuts at once).
`

const OPTIONS = {
  config: { type: 'string' },
  'allow-wildcard-bind': { type: 'boolean', default: false },
  validate: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', default: false },
} as const

const COMMANDS = { run, validate } as const

/** Runs one command; resolves with the exit code of the process. */
export async function main(args: readonly string[]): Promise<number> {
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
  const { values, positionals } = parsed
  if (values.help) return print(HELP)
  if (values.version) return print(`reverse-proxy ${version}\n`)

  const [name = values.validate ? 'validate' : 'run', ...rest] = positionals
  if (rest.length > 0) return refuse(`unexpected argument "${rest[0]}"`)
  if (!isCommand(name)) return refuse(`unknown command "${name}"`)
  return await COMMANDS[name]({
    configFlag: values.config,
    allowWildcardBind: values['allow-wildcard-bind'],
    json: values.json,
  })
}

function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name)
}

function print(text: string): number {
  process.stdout.write(text)
  return EXIT_OK
}

function refuse(message: string): number {
  process.stderr.write(`reverse-proxy: ${message}\n    hint: reverse-proxy --help lists what there is\n`)
  return EXIT_FAILURE
}
