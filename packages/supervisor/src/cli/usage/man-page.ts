// The manual page, from the table: roff with the man macros. `pnpm -F supervisor man` writes it. Pure.
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
reverse\\-proxy \\- HTTPS for the services of this machine, with certificates of its own
.SH SYNOPSIS
.B reverse\\-proxy
.RI [ command ]
.RI [ options ]
.SH DESCRIPTION
One supervisor process obtains and renews the certificates and owns everything that needs authority;
a worker process for each core terminates TLS and passes requests on to the services behind it.
Without a command it serves; without a configuration file it serves a welcome page to this machine alone.
.SH COMMANDS
${commandsBy('itself')}.SS Asking the proxy that runs
These speak with it over its admin socket, which is for the user alone who started it.
${commandsBy('proxy')}.SH OPTIONS
${options.join('')}.SH SIGNALS
${signals.join('')}.SH EXIT STATUS
${exitCodes.join('')}.SH FILES
${paragraph('/etc/reverse-proxy/config.toml', 'the configuration, where nothing else is named')}${paragraph('/run/reverse-proxy/admin.sock', 'the admin socket of a proxy that root started')}`
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
