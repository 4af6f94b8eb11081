// Reads a file of users and password hashes, one `user:hash` on a line, as htpasswd and `reverse-proxy passwd` write
// it. Pure: the text is given.
import { parsePasswordHash, type PasswordHash } from './password-hash.ts'

interface PasswordFileIssue {
  /** From 1. */
  readonly line: number
  readonly message: string
}

export interface PasswordFile {
  /** By user. */
  readonly users: ReadonlyMap<string, PasswordHash>
  readonly issues: readonly PasswordFileIssue[]
}

/** It goes upstream as a field value and into logs. */
const USER = /^[\u0021-\u0039\u003b-\u007e](?:[\u0020-\u0039\u003b-\u007e]*[\u0021-\u0039\u003b-\u007e])?$/u

/** Blank lines and lines that begin with `#` are skipped. Every other line is a user or an issue. */
export function parsePasswordFile(text: string): PasswordFile {
  const users = new Map<string, PasswordHash>()
  const issues: PasswordFileIssue[] = []
  for (const [index, line] of text
    .replace(/^\uFEFF/u, '')
    .split(/\r?\n/u)
    .entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const message = addUser(users, line)
    if (message !== undefined) issues.push({ line: index + 1, message })
  }
  return { users, issues }
}

/** @returns what is wrong with the line */
function addUser(users: Map<string, PasswordHash>, line: string): string | undefined {
  const colon = line.indexOf(':')
  if (colon === -1) return 'there is no ":" between user and hash'
  const user = line.slice(0, colon)
  if (!USER.test(user)) return 'the user is empty or has other than printable ASCII characters'
  if (users.has(user)) return `the user "${user}" is there twice`
  const hash = parsePasswordHash(line.slice(colon + 1).trim())
  if (typeof hash === 'string') return `the hash of "${user}" is not accepted: ${hash}`
  users.set(user, hash)
  return undefined
}
