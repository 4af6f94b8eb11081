// Maps the arguments to a command and its result to an exit code. The commands are listed in usage/table.ts and
// implemented in commands/.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { closest } from 'fastest-levenshtein'
import { STANDARD_INPUT } from '../config/find.ts'
import { isAdminCommand } from '../management/admin/protocol.ts'
import { renderHelp, usageOf } from './usage/help.ts'
import {
  COMMANDS,
  LOCAL_COMMANDS,
  OPTIONS,
  optionRows,
  type CommandArgs,
  type CommandName,
} from './usage/table.ts'
import { version } from '../os/version.ts'

/** Commands for which `--config -` means standard input. */
const READS_STANDARD_INPUT: readonly CommandName[] = ['run', 'validate', 'doctor']
/** How long a proxy that ends waits for a stalled reader of its output. */
const RUN_FLUSH_MS = 1_000

/** Runs one command; resolves with the exit code of the process when its output has been written. */
export async function main(args: readonly string[]): Promise<number> {
  let parsed
  try {
    parsed = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true })
  } catch (error) {
    return fail(messageOf(error))
  }
  const { values, positionals } = parsed
  if (values.help === true) return print(renderHelp())
  if (values.version === true) return print(`reverse-proxy ${version}\n`)

  const [command = 'run', ...operands] = positionals
  // `run --validate` only checks the configuration.
  const name = command === 'run' && values.validate === true ? 'validate' : command
  if (!isCommand(name)) {
    return fail(`unknown command "${name}"`, `did you mean ${closest(name, [...COMMANDS.keys()])}?`)
  }
  if (values.config === '') return fail('--config is empty', 'name a file, or leave --config out')
  const error = usageError(name, operands, Object.keys(values))
  if (error !== undefined) return fail(error)
  if (values.config === STANDARD_INPUT && !READS_STANDARD_INPUT.includes(name))
    return fail(
      `--config - is not valid for '${name}'`,
      'name the file of the running proxy; a proxy that read standard input cannot reload: start it again',
    )
  const code = await perform(name, operands, {
    configFlag: values.config,
    allowWildcardBind: values['allow-wildcard-bind'] ?? false,
    json: values.json ?? false,
    dns: values.dns,
    request: { method: values.method, from: values.from, headers: values.header ?? [] },
  })
  await (name === 'run' ? Promise.race([flushOutput(), sleep(RUN_FLUSH_MS)]) : flushOutput())
  return code
}

/** A pipe takes 64 KiB at once; the exit of the process would cut off the rest. */
async function flushOutput(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(async (stream) => {
      if (stream.writableLength === 0) return
      // Ignore a reader that has closed its end.
      stream.on('error', () => {})
      await new Promise<void>((resolve) => stream.write('', () => resolve()))
    }),
  )
}

// Each command loads only what it needs: `status` should not wait for the ACME client to load.
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
    case 'explain': {
      const { explainRequest } = await import('./commands/explain.ts')
      return await explainRequest(operands, args)
    }
    case 'completion': {
      const { completion } = await import('./commands/completion.ts')
      return completion(operands)
    }
    case 'passwd': {
      const { passwd } = await import('./commands/passwd.ts')
      return await passwd(operands)
    }
    default:
      return assertNever(name)
  }
}

function isCommand(name: string): name is CommandName {
  return isAdminCommand(name) || Object.hasOwn(LOCAL_COMMANDS, name)
}

/** The first argument or option that does not belong to the command. */
function usageError(
  name: CommandName,
  operands: readonly string[],
  options: readonly string[],
): string | undefined {
  const row = COMMANDS.get(name)
  if (row === undefined) return undefined
  const expected = row.operand === undefined ? 0 : 1
  if (operands.length < expected && row.operand?.startsWith('[') === false)
    return `missing argument ${row.operand}: reverse-proxy ${usageOf(name, row)}`
  if (operands.length > expected) return `unexpected argument "${operands[expected]}" after ${name}`
  const useless = optionRows().find(([option, { isFor }]) => options.includes(option) && !isFor(name))
  return useless === undefined ? undefined : `option --${useless[0]} is not valid for '${name}'`
}

function print(text: string): number {
  process.stdout.write(text)
  return EXIT_OK
}

function fail(message: string, hint = 'reverse-proxy --help lists commands and options'): number {
  process.stderr.write(`reverse-proxy: ${message}\n    hint: ${hint}\n`)
  return EXIT_FAILURE
}
