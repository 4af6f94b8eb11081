// `doctor`: checks everything that commonly goes wrong before anything is ordered, and prints what to do.
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { ConfigErrors, type LocatedIssue } from '../../config/document/config-errors.ts'
import { processEnvironment } from '../../config/environment.ts'
import { findConfig } from '../../config/find.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { loadConfigOrProfile } from '../../config/local-profile.ts'
import { DnsProbe } from '../doctor/dns-probe.ts'
import { runChecks } from '../doctor/checks.ts'
import { renderFindings, type Finding } from '../doctor/finding.ts'
import { systemProbes } from '../doctor/system-probes.ts'
import type { CommandArgs } from '../usage/table.ts'

/** Exit code 1 when a check failed. */
export async function doctor(args: CommandArgs): Promise<number> {
  const findings = await diagnose(args)
  const hasPassed = findings.every(({ status }) => status !== 'fail')
  const text = args.json
    ? `${JSON.stringify({ status: hasPassed ? 'ok' : 'error', findings: findings.map(toJson) }, undefined, 2)}\n`
    : renderFindings(findings)
  process.stdout.write(text)
  return hasPassed ? EXIT_OK : EXIT_FAILURE
}

/** The form of a finding that programs read: its status is `verdict`. */
function toJson({ check, subject, status: verdict, message, hint }: Finding): object {
  return { check, subject, verdict, message, hint }
}

async function diagnose(args: CommandArgs): Promise<Finding[]> {
  const dns = openDns(args.dns)
  if (dns === undefined) {
    const hint = 'write the IP address of a name server, with or without a port: 9.9.9.9'
    return [{ check: 'dns', subject: args.dns ?? '', status: 'fail', message: 'is not an IP address', hint }]
  }
  try {
    const { config, warnings } = await load(args)
    return [...warnings.map(toFinding), ...(await runChecks(config, systemProbes(config, dns)))]
  } catch (error) {
    if (error instanceof ConfigErrors) return error.issues.map(toFinding)
    throw error
  }
}

function openDns(server: string | undefined): DnsProbe | undefined {
  try {
    return new DnsProbe(server === undefined ? [] : [server])
  } catch {
    return undefined
  }
}

async function load({ configFlag, allowWildcardBind }: CommandArgs): Promise<LoadedConfig> {
  const environment = processEnvironment()
  const path = await findConfig({ flag: configFlag, env: process.env, cwd: process.cwd() })
  return await loadConfigOrProfile(path, { allowWildcardBindFlag: allowWildcardBind, environment })
}

function toFinding({ file, line, severity, path, message, hint }: LocatedIssue): Finding {
  return {
    check: 'configuration',
    subject: [file, line, path].filter((part) => part !== undefined && part !== '').join(':'),
    status: severity === 'error' ? 'fail' : 'warn',
    message,
    hint,
  }
}
