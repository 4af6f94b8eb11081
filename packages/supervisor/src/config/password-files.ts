// Reads and checks the password files that sites name. An issue names the file and the line, and never quotes a hash.
import { configIssue, type ConfigIssue } from '@reverse-proxy/shared/config/issues'
import { everySettingsOf, type RuleContext } from '@reverse-proxy/shared/config/rules/rule'
import type { ConfigFile, Valid } from '@reverse-proxy/shared/config/schema'
import { parsePasswordFile } from '../authentication/password-file.ts'
import { READ_HINTS, ReadError, readSmallFile } from '../os/read-file.ts'

export interface CheckedPasswordFiles {
  readonly issues: readonly ConfigIssue[]
  /** Contents by absolute path. */
  readonly passwordFiles: ReadonlyMap<string, string>
}

export async function checkPasswordFiles(
  file: Valid<ConfigFile>,
  { resolvePath }: Pick<RuleContext, 'resolvePath'>,
): Promise<CheckedPasswordFiles> {
  const issues: ConfigIssue[] = []
  const passwordFiles = new Map<string, string>()
  for (const { value, at: siteAt } of everySettingsOf(file)) {
    if (value.basic_auth_file === undefined || value.basic_auth_file === '') continue
    const at = [...siteAt, 'basic_auth_file']
    const path = resolvePath(value.basic_auth_file)
    // Many sites may name the same file.
    if (passwordFiles.has(path)) continue
    try {
      const text = (await readSmallFile(path)).toString()
      passwordFiles.set(path, text)
      for (const { line, message } of parsePasswordFile(text).issues)
        issues.push(configIssue('PASSWORD_FILE_INVALID', at, `${path} line ${line}: ${message}`, LINE_HINT))
    } catch (error) {
      if (!(error instanceof ReadError)) throw error
      issues.push(configIssue('FILE_UNREADABLE', at, error.message, READ_HINTS[error.fault]))
    }
  }
  return { issues, passwordFiles }
}

const LINE_HINT = '`reverse-proxy passwd USER` prints a line; `htpasswd -B` writes one too'
