// The output for people who start the program by hand: errors with hints, progress of orders, and what to try first.
// Logs are separate.
import type { ProxyError } from '@reverse-proxy/shared/errors'
import type { OrderProgress } from '../../certificates/services.ts'

/** `error: ...` and, on a second line, the hint if there is one. */
export function renderFailure(error: ProxyError): string {
  const hint = error.hint === undefined ? '' : `    hint: ${error.hint}\n`
  return `error: ${error.message}\n${hint}`
}

export interface Terminal {
  readonly isTTY?: boolean | undefined
  write(text: string): unknown
}

/** Prints one line per step of an order on a terminal; prints nothing elsewhere. */
export function createProgressPrinter(terminal: Terminal): (progress: OrderProgress) => void {
  if (terminal.isTTY !== true) return () => {}
  return ({ names, step, detail }) => {
    const what =
      names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
    terminal.write(`  certificate for ${what}: ${step}${detail === undefined ? '' : ` (${detail})`}\n`)
  }
}

export interface LocalProfileView {
  readonly pid: number
  readonly httpsPort: number
  readonly httpPort: number
  readonly caPath: string
}

/** After the local profile has started, the line that works and what to try next. */
export function renderLocalProfile({ pid, httpsPort, httpPort, caPath }: LocalProfileView): string {
  return `
reverse-proxy is serving (supervisor pid ${pid})

  https://localhost:${httpsPort}/   the welcome page; your browser does not know its CA yet
  http://localhost:${httpPort}/    redirects there

  curl --cacert ${quoteForShell(caPath)} https://localhost:${httpsPort}/

Next: write a config.toml with your own site (deploy/config has examples), check it with
  npx -y pnpm@12 -F supervisor start --validate --config config.toml
and start with --config config.toml. Stop with Ctrl-C or kill ${pid}.

`
}

function quoteForShell(path: string): string {
  return /^[\w./@+-]+$/u.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
