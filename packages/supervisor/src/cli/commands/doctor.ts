// `doctor`: looks at everything that usually goes wrong, before anything is ordered, and says what to do.
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { ConfigErrors, type PlacedIssue } from '../../config/config-errors.ts'
import { processEnvironment } from '../../config/environment.ts'
import { findConfig } from '../../config/find.ts'
import { loadConfig, type LoadedConfig } from '../../config/load.ts'
import { localProfile } from '../../config/local-profile.ts'
import { DnsProbe } from '../doctor/dns-probe.ts'
import { examine } from '../doctor/checks.ts'
import type { Finding } from '../doctor/finding.ts'
import { renderFindings } from '../doctor/render.ts'
import { systemProbes } from '../doctor/system-probes.ts'
import type { CommandArgs } from '../usage/table.ts'

/** Exit code 1 when a check failed. */
export async function doctor(args: CommandArgs): Promise<number> {
  const findings = await diagnose(args)
  const isWell = findings.every(({ verdict }) => verdict !== 'fail')
  const text = args.json
    ? `${JSON.stringify({ status: isWell ? 'ok' : 'error', findings }, undefined, 2)}\n`
    : renderFindings(findings)
  process.stdout.write(text)
  return isWell ? EXIT_OK : EXIT_FAILURE
}

async function diagnose(args: CommandArgs): Promise<Finding[]> {
  const dns = openDns(args.dns)
  if (dns === undefined) {
    const hint = 'write the IP address of a name server, with or without a port: 9.9.9.9'
    return [{ check: 'dns', subject: args.dns ?? '', verdict: 'fail', message: 'is not an IP address', hint }]
  }
  try {
    const { config, warnings } = await load(args)
    return [...warnings.map(toFinding), ...(await examine(config, systemProbes(config, dns)))]
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
  if (path === undefined) return { config: localProfile(environment), warnings: [] }
  return await loadConfig(path, { allowWildcardBindFlag: allowWildcardBind, environment })
}

function toFinding({ file, line, severity, path, message, hint }: PlacedIssue): Finding {
  return {
    check: 'configuration',
    subject: [file, line, path].filter((part) => part !== undefined && part !== '').join(':'),
    verdict: severity === 'error' ? 'fail' : 'warn',
    message,
    hint,
  }
}
