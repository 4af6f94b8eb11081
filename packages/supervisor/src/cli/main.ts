// argv -> command -> exit code. What there is to say is command-line/table.ts; what the commands do is
// in commands/.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { closest } from 'fastest-levenshtein'
import { isAdminCommand } from '../management/admin/protocol.ts'
import { renderHelp, usageOf } from './usage/help.ts'
import { COMMANDS, LOCAL_COMMANDS, OPTIONS, optionRows, type CommandName } from './usage/table.ts'
import type { CommandArgs } from './usage/table.ts'
import { version } from '../os/version.ts'

/** A proxy that ends does not wait longer for a reader of its output that stands still. */
const RUN_FLUSH_MS = 1_000

/** Runs one command; resolves with the exit code of the process when its output has been written. */
export async function main(args: readonly string[]): Promise<number> {
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    return refuse(messageOf(error))
  }
  const { values, positionals } = parsed
  if (values.help === true) return print(renderHelp())
  if (values.version === true) return print(`reverse-proxy ${version}\n`)

  const [command = 'run', ...operands] = positionals
  // `run --validate` only checks the configuration.
  const name = command === 'run' && values.validate === true ? 'validate' : command
  if (!isCommand(name)) {
    return refuse(`unknown command "${name}"`, `did you mean ${closest(name, [...COMMANDS.keys()])}?`)
  }
  if (values.config === '') return refuse('--config is empty', 'name a file, or leave --config out')
  const fault = faultOf(name, operands, Object.keys(values))
  if (fault !== undefined) return refuse(fault)
  const code = await perform(name, operands, {
    configFlag: values.config,
    allowWildcardBind: values['allow-wildcard-bind'] ?? false,
    json: values.json ?? false,
    dns: values.dns,
  })
  await (name === 'run' ? Promise.race([flushOutput(), sleep(RUN_FLUSH_MS)]) : flushOutput())
  return code
}

/** A pipe takes 64 KiB at once; the exit of the process would cut off the rest. */
async function flushOutput(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(async (stream) => {
      if (stream.writableLength === 0) return
      // A reader that has seen enough is no error of ours.
      stream.on('error', () => {})
      await new Promise<void>((resolve) => stream.write('', () => resolve()))
    }),
  )
}

// Each loads what it needs and no more: asking for the status should not wait for the ACME client.
async function perform(name: CommandName, operands: readonly string[], args: CommandArgs): Promise<number> {
  if (isAdminCommand(name)) {
    const { ask } = await import('./commands/ask.ts')
    return await ask(name, operands, args)
  }
  switch (name) {
    case 'run': {
      const { run } = await import('./commands/run.ts')
      return await run(args)
    }
    case 'validate': {
      const { validate } = await import('./commands/validate.ts')
      return await validate(args)
    }
    case 'doctor': {
      const { doctor } = await import('./commands/doctor.ts')
      return await doctor(args)
    }
    case 'completion': {
      const { completion } = await import('./commands/completion.ts')
      return completion(operands)
    }
    default:
      return assertNever(name)
  }
}

function isCommand(name: string): name is CommandName {
  return isAdminCommand(name) || Object.hasOwn(LOCAL_COMMANDS, name)
}

/** The first argument or option that does not belong to the command. */
function faultOf(
  name: CommandName,
  operands: readonly string[],
  options: readonly string[],
): string | undefined {
  const row = COMMANDS.get(name)
  if (row === undefined) return undefined
  const expected = row.operand === undefined ? 0 : 1
  if (operands.length < expected) return `${name} wants ${row.operand}: reverse-proxy ${usageOf(name, row)}`
  if (operands.length > expected) return `unexpected argument "${operands[expected]}" after ${name}`
  const useless = optionRows().find(([option, { isFor }]) => options.includes(option) && !isFor(name))
  return useless === undefined ? undefined : `--${useless[0]} means nothing to ${name}`
}

function print(text: string): number {
  process.stdout.write(text)
  return EXIT_OK
}

function refuse(message: string, hint = 'reverse-proxy --help lists what there is'): number {
  process.stderr.write(`reverse-proxy: ${message}\n    hint: ${hint}\n`)
  return EXIT_FAILURE
}
