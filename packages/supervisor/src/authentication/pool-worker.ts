// The pool's end of password-verifier.ts: runs in a worker thread, because one comparison takes tens of milliseconds.
import { isPassword, type PasswordHash } from './password-hash.ts'

export interface PasswordJob {
  readonly password: string
  readonly hash: PasswordHash
}

export function runJob({ password, hash }: PasswordJob): boolean {
  return isPassword(password, hash)
}
