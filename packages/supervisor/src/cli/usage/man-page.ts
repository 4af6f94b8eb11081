// Renders the manual page from the table, as roff with the man macros. `pnpm -F supervisor man` writes it. Pure.
import { flagOf, usageOf } from './help.ts'
import { COMMANDS, EXIT_CODES, optionRows, SIGNALS, type CommandRow } from './table.ts'

export function renderManPage(version: string): string {
  const options = optionRows().map(([name, { value, short, summary }]) =>
    paragraph(flagOf(name, value, short), summary),
  )
  const signals = SIGNALS.map(([signal, meaning]) => paragraph(signal, meaning))
  const exitCodes = EXIT_CODES.map(([code, meaning]) => paragraph(code, meaning))
  return `.\\" Written by \`pnpm -F supervisor man\` from the table that --help is made of.
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
${commandsBy('itself')}.SS Commands for the running proxy
These are sent over its admin socket, which only the user who started it can use.
${commandsBy('proxy')}.SH OPTIONS
${options.join('')}.SH SIGNALS
${signals.join('')}.SH EXIT STATUS
${exitCodes.join('')}.SH FILES
${paragraph('/etc/reverse-proxy/config.toml', 'the configuration, unless another file is named')}${paragraph('/run/reverse-proxy/admin.sock', 'the admin socket of a proxy started by root')}`
}

function commandsBy(whom: CommandRow['by']): string {
  const rows = [...COMMANDS].filter(([, { by }]) => by === whom)
  return rows.map(([name, row]) => paragraph(usageOf(name, row), row.summary)).join('')
}

function paragraph(term: string, text: string): string {
  return `.TP\n.B ${escape(term)}\n${escape(text)}\n`
}

/** groff_man(7): a hyphen that is to be copied, a backslash, and a line that begins like a request. */
function escape(text: string): string {
  return text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll(/^(?=[.'])/gmu, String.raw`\&`)
}
