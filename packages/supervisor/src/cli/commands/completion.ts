// `completion SHELL`: prints a completion script for a shell, rendered from the table. The scripts do not call the
// program, so completing never starts Node.
import { assertNever } from '@reverse-proxy/shared/assert-never'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { COMMANDS, optionRows, SHELLS, type Shell } from '../usage/table.ts'

const PROGRAM = 'reverse-proxy'

export function completion([name = '']: readonly string[]): number {
  const shell = SHELLS.find((known) => known === name)
  if (shell === undefined) {
    process.stderr.write(
      `reverse-proxy: no completion for "${name}"\n    hint: the shells are ${SHELLS.join(', ')}\n`,
    )
    return EXIT_FAILURE
  }
  process.stdout.write(renderCompletion(shell))
  return EXIT_OK
}

/** Pure. */
export function renderCompletion(shell: Shell): string {
  switch (shell) {
    case 'bash':
      return renderBash()
    case 'zsh':
      return renderZsh()
    case 'fish':
      return renderFish()
    default:
      return assertNever(shell)
  }
}

function renderBash(): string {
  const flags = optionRows().map(([name]) => `--${name}`)
  const files = optionRows()
    .filter(([, { value }]) => value === 'PATH')
    .map(([name]) => `--${name}`)
  const operands = [...COMMANDS].map(([name, { values }]) =>
    values === undefined ? '' : `    ${name}) words='${values.join(' ')}' ;;\n`,
  )
  return `# Completion for ${PROGRAM} in bash: source it, or put it into
# \${XDG_DATA_HOME:-~/.local/share}/bash-completion/completions/${PROGRAM}
_reverse_proxy() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words
  COMPREPLY=()
  case $previous in
    ${files.join('|')}) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames 2>/dev/null; return ;;
${operands.join('')}    *) words='${[...COMMANDS.keys()].join(' ')}' ;;
  esac
  if [[ $current == -* ]]; then words='${flags.join(' ')}'; fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _reverse_proxy ${PROGRAM}
`
}

function renderZsh(): string {
  const options = optionRows().map(([name, { value, summary }]) => {
    const argument = value === undefined ? '' : `:${value}:${value === 'PATH' ? '_files' : ''}`
    return `    ${quote(`--${name}[${escapeZsh(summary)}]${argument}`)}`
  })
  const commands = [...COMMANDS].map(([name, { summary }]) => `    ${quote(`${name}:${summary}`)}`)
  const operands = [...COMMANDS].map(([name, { values }]) =>
    values === undefined ? '' : `        ${name}) _values 'value' ${values.join(' ')} ;;\n`,
  )
  return `#compdef ${PROGRAM}
# Completion for ${PROGRAM} in zsh: put it as _${PROGRAM} into a directory of $fpath
_reverse_proxy() {
  local state
  local -a commands=(
${commands.join('\n')}
  )
  _arguments \\
${options.join(' \\\n')} \\
    '1: :->command' '2: :->operand' && return
  case $state in
    command) _describe 'command' commands ;;
    operand)
      case $words[2] in
${operands.join('')}      esac ;;
  esac
}
if [[ $funcstack[1] == _reverse-proxy ]]; then _reverse_proxy "$@"; else compdef _reverse_proxy ${PROGRAM}; fi
`
}

function renderFish(): string {
  const names = [...COMMANDS.keys()].join(' ')
  const commands = [...COMMANDS].map(
    ([name, { summary }]) =>
      `complete -c ${PROGRAM} -n "not __fish_seen_subcommand_from ${names}" -a ${name} -d ${quote(summary)}`,
  )
  const operands = [...COMMANDS].flatMap(([name, { values }]) =>
    values === undefined
      ? []
      : [`complete -c ${PROGRAM} -n "__fish_seen_subcommand_from ${name}" -a ${quote(values.join(' '))}`],
  )
  const options = optionRows().map(([name, { value, short, summary }]) => {
    const letter = short === undefined ? '' : ` -s ${short}`
    return `complete -c ${PROGRAM} -l ${name}${letter}${value === undefined ? '' : value === 'PATH' ? ' -r -F' : ' -x'} -d ${quote(summary)}`
  })
  return `# Completion for ${PROGRAM} in fish: put it into ~/.config/fish/completions/${PROGRAM}.fish
complete -c ${PROGRAM} -f
${[...commands, ...operands, ...options].join('\n')}
`
}

/** One word for any of the three shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** Inside the brackets of _arguments. */
function escapeZsh(text: string): string {
  return text.replaceAll(/[[\]:\\]/gu, String.raw`\$&`)
}
