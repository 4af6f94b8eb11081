// Renders --help, and the manual page as roff with the man macros, from the table. `pnpm -F supervisor man` writes the
// page. Pure.
import { COMMANDS, optionRows, SIGNALS, EXIT_CODES, type CommandRow } from './table.ts'

const WIDTH = 100
const FILES: readonly Line[] = [
  ['/etc/reverse-proxy/config.toml', 'the configuration, unless another file is named'],
  ['/run/reverse-proxy/admin.sock', 'the admin socket of a proxy started by root'],
]

export function renderHelp(): string {
  const sections: readonly (readonly [title: string, lines: readonly Line[]])[] = [
    ['Commands', commandsBy('itself')],
    ['Commands for the running proxy', commandsBy('proxy')],
    ['Options', optionLines()],
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

function optionLines(): readonly Line[] {
  return optionRows().map(([name, { value, short, summary }]) => [flagOf(name, value, short), summary])
}

/** `renew NAME` */
export function usageOf(name: string, { operand }: CommandRow): string {
  return operand === undefined ? name : `${name} ${operand}`
}

/** `--config PATH`, `-h, --help` */
function flagOf(name: string, value: string | undefined, short: string | undefined): string {
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

export function renderManPage(version: string): string {
  return `.\\" Written by \`pnpm -F supervisor man\` from the table of --help.
.TH REVERSE\\-PROXY 1 "" "reverse\\-proxy ${escape(version)}" "User Commands"
.SH NAME
reverse\\-proxy \\- serves HTTPS for the services of this machine and manages the certificates
.SH SYNOPSIS
.B reverse\\-proxy
.RI [ command ]
.RI [ options ]
.SH DESCRIPTION
One supervisor process obtains and renews the certificates and does everything that needs privileges;
a worker process for each core terminates TLS and forwards requests to the services.
Without a command it serves; without a configuration file it serves a welcome page on loopback addresses only.
.SH COMMANDS
${paragraphs(commandsBy('itself'))}.SS Commands for the running proxy
These are sent over its admin socket, which only the user who started it can use.
${paragraphs(commandsBy('proxy'))}.SH OPTIONS
${paragraphs(optionLines())}.SH SIGNALS
${paragraphs(SIGNALS)}.SH EXIT STATUS
${paragraphs(EXIT_CODES)}.SH FILES
${paragraphs(FILES)}`
}

function paragraphs(lines: readonly Line[]): string {
  return lines.map(([term, text]) => `.TP\n.B ${escape(term)}\n${escape(text)}\n`).join('')
}

/** groff_man(7): escapes hyphens, backslashes, and lines that begin like a request. */
function escape(text: string): string {
  return text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll(/^(?=[.'])/gmu, String.raw`\&`)
}
