// `passwd USER`: prints a line for a basic_auth_file. The password is asked for twice on a terminal, without being
// shown; otherwise it is the first line of standard input. It is never an argument, which every account can read.
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { parsePasswordFile } from '../../authentication/password-file.ts'
import { hashPassword } from '../../authentication/password-hash.ts'

export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly stdout: Pick<NodeJS.WriteStream, 'write'>
  readonly stderr: Pick<NodeJS.WriteStream, 'write'>
}

export async function passwd([user = '']: readonly string[], terminal: Terminal = process): Promise<number> {
  const { stdout, stderr } = terminal
  const refuse = (message: string, hint: string): number => {
    stderr.write(`reverse-proxy: ${message}\n    hint: ${hint}\n`)
    return EXIT_FAILURE
  }
  // The same rules as for a file that was written by hand.
  const [issue] = parsePasswordFile(`${user}:${PLACEHOLDER_HASH}`).issues
  if (issue !== undefined || user.startsWith('#'))
    return refuse(
      `"${user}" cannot be a user`,
      'printable ASCII characters, without ":" and not "#" at the start',
    )
  const passwords = await readPasswords(terminal)
  const [password = '', repeated = password] = passwords
  if (password === '') return refuse('the password is empty', 'type one, or pipe one line into this command')
  if (password !== repeated) return refuse('the passwords differ', 'try again')
  stdout.write(`${user}:${hashPassword(password)}\n`)
  return EXIT_OK
}

/** As shells report a program that SIGINT has ended. */
const EXIT_INTERRUPTED = 130

const PLACEHOLDER_HASH = `$2y$10$${'.'.repeat(53)}`

/** From a terminal: both that were typed. Else the first line. */
async function readPasswords({ stdin, stderr }: Terminal): Promise<readonly string[]> {
  if (!stdin.isTTY) {
    const lines = createInterface({ input: stdin })
    for await (const line of lines) return [line]
    return []
  }
  // A terminal shows what is typed through the interface's output, so that goes nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: stdin, output: nowhere, terminal: true })
  lines.once('SIGINT', () => process.exit(EXIT_INTERRUPTED))
  try {
    const passwords: string[] = []
    for (const question of ['Password: ', 'Once more: ']) {
      stderr.write(question)
      passwords.push(await lines.question(''))
      stderr.write('\n')
    }
    return passwords
  } finally {
    lines.close()
  }
}
