// `validate`: prints every error of the configuration, or a summary of it. Changes nothing, binds nothing.
import type { Config } from '@reverse-proxy/shared/config/config'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { siteCount } from '../../config/counts.ts'
import { plural } from '@reverse-proxy/shared/plural'
import { ConfigErrors, type LocatedIssue } from '../../config/document/config-errors.ts'
import { processEnvironment } from '../../config/environment.ts'
import { displayName, findConfig } from '../../config/find.ts'
import { loadConfigOrProfile } from '../../config/local-profile.ts'
import { renderConfigIssues, reportIssue } from '../../config/report.ts'
import type { CommandArgs } from '../usage/table.ts'

interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/** With `json`, prints an array of issues to stdout in any case; otherwise a summary, or the issues to stderr. */
export async function validate(
  args: CommandArgs,
  stdout: Output = process.stdout,
  stderr: Output = process.stderr,
): Promise<number> {
  const environment = processEnvironment()
  const path = await findConfig({ flag: args.configFlag, env: process.env, cwd: process.cwd() })
  const report = (issues: readonly LocatedIssue[]) =>
    args.json
      ? stdout.write(`${JSON.stringify(issues.map(reportIssue), undefined, 2)}\n`)
      : stderr.write(renderConfigIssues(issues, { color: stderr.isTTY ?? false }))
  try {
    const loaded = await loadConfigOrProfile(path, {
      allowWildcardBindFlag: args.allowWildcardBind,
      environment,
      checksCaches: true,
    })
    report(loaded.warnings)
    if (!args.json) stdout.write(`configuration ok: ${summarise(path, loaded.config)}\n`)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ConfigErrors)) throw error
    report(error.issues)
    return EXIT_FAILURE
  }
}

/** `2 listeners, 5 sites (/etc/reverse-proxy/config.toml)` */
function summarise(path: string | undefined, { listeners }: Config): string {
  const counts = `${plural(listeners.length, 'listener')}, ${plural(siteCount({ listeners }), 'site')}`
  return `${counts} (${path === undefined ? 'no file: the built-in local profile' : displayName(path)})`
}
