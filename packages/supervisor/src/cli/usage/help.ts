// Renders --help from the table.
import { COMMANDS, optionRows, SIGNALS, type CommandRow } from './table.ts'

const WIDTH = 100

export function renderHelp(): string {
  const sections: readonly (readonly [title: string, lines: readonly Line[]])[] = [
    ['Commands', commandsBy('itself')],
    ['Commands for the running proxy', commandsBy('proxy')],
    [
      'Options',
      optionRows().map(([name, { value, short, summary }]) => [flagOf(name, value, short), summary]),
    ],
    ['Signals', SIGNALS],
  ]
  const indent = Math.max(...sections.flatMap(([, lines]) => lines.map(([term]) => term.length))) + 4
  const texts = sections.map(
    ([title, lines]) => `${title}\n${lines.map((line) => renderLine(line, indent)).join('')}`,
  )
  return `reverse-proxy: serves HTTPS for the services of this machine and manages the certificates

Usage: reverse-proxy [command] [options]

${texts.join('\n')}`
}

type Line = readonly [term: string, text: string]

function commandsBy(whom: CommandRow['by']): readonly Line[] {
  const rows = [...COMMANDS].filter(([, { by }]) => by === whom)
  return rows.map(([name, row]) => [usageOf(name, row), row.summary])
}

/** `renew NAME` */
export function usageOf(name: string, { operand }: CommandRow): string {
  return operand === undefined ? name : `${name} ${operand}`
}

/** `--config PATH`, `-h, --help` */
export function flagOf(name: string, value: string | undefined, short: string | undefined): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`
  return short === undefined ? long : `-${short}, ${long}`
}

function renderLine([term, text]: Line, indent: number): string {
  const lines: string[] = []
  let line = `  ${term}`.padEnd(indent)
  for (const word of text.split(' ')) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd())
      line = ' '.repeat(indent)
    }
    line += `${word} `
  }
  return [...lines, line.trimEnd(), ''].join('\n')
}
