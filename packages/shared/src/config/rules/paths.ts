// Every key of a configuration that holds a path, in one list, and the rule about the text of paths.
import { configIssue, type ConfigPath } from '../issues.ts'
import { everySettingsOf, listenersOf, tlsOf, type Rule } from './rule.ts'
import type { ConfigFile, Valid } from '../schema.ts'

/** `read`: the proxy only reads it. It creates or writes the other kinds. */
export type PathUse = 'log' | 'socket' | 'cache' | 'state' | 'read'

export interface WrittenPath {
  readonly at: ConfigPath
  readonly text: string
  readonly use: PathUse
}

/** Every path as written, without empty ones. */
export function* writtenPathsOf(file: Valid<ConfigFile>): Generator<WrittenPath> {
  for (const path of candidatesOf(file)) {
    if (path.text !== undefined && path.text !== '') yield { ...path, text: path.text }
  }
}

type Candidate = Omit<WrittenPath, 'text'> & { readonly text: string | undefined }

function* candidatesOf(file: Valid<ConfigFile>): Generator<Candidate> {
  yield { at: ['state_dir'], text: file.state_dir, use: 'state' }
  yield { at: ['admin_socket_path'], text: file.admin_socket_path, use: 'socket' }
  yield { at: ['logging', 'log_file_path'], text: file.logging?.log_file_path, use: 'log' }
  for (const { value, at } of tlsOf(file)) {
    yield { at: [...at, 'acme_cache_dir'], text: value.acme_cache_dir, use: 'cache' }
    for (const key of ['acme_ca_file', 'acme_eab_hmac_file', 'cert_path', 'key_path'] as const)
      yield { at: [...at, key], text: value[key], use: 'read' }
    for (const [index, pair] of (value.certificates ?? []).entries()) {
      for (const key of ['cert_path', 'key_path'] as const)
        yield { at: [...at, 'certificates', index, key], text: pair?.[key], use: 'read' }
    }
  }
  for (const { value, at } of listenersOf(file))
    yield { at: [...at, 'client_ca_file'], text: value.client_ca_file, use: 'read' }
  for (const { value, at } of everySettingsOf(file)) {
    for (const key of ['upstream_ca_file', 'basic_auth_file'] as const)
      yield { at: [...at, key], text: value[key], use: 'read' }
  }
}

const TILDE = /^~[\w.-]*(?:\/|$)/u

/** No shell expands the file: `~/x` would mean a directory named `~`. */
export const ruleTilde: Rule = function* (file) {
  for (const { at, text } of writtenPathsOf(file)) {
    if (!TILDE.test(text)) continue
    const message = `"${text}" begins with ~, which only a shell expands`
    const hint = `write the whole path, such as "/home/me/${text.replace(/^[^/]*\/?/u, '')}"`
    yield configIssue('PATH_TILDE', at, message, hint)
  }
}
