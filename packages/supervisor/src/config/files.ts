// Checks the files that a configuration names (rule 5, and rule 23 for manual certificates), and returns the contents
// that workers need. An issue names a file and never quotes it.
import { configIssue, type ConfigIssue, type ConfigPath } from '@reverse-proxy/shared/config/issues'
import {
  everySettingsOf,
  hostsOf,
  listenersOf,
  sitesOf,
  tlsOf,
  type Located,
  type RuleContext,
} from '@reverse-proxy/shared/config/rules/rule'
import { uncoveredHost } from '@reverse-proxy/shared/config/rules/tls'
import type { ConfigFile, ListenerFile, Valid } from '@reverse-proxy/shared/config/schema'
import { inspectPair } from '../certificates/crypto/inspect.ts'
import {
  certificateDoubts,
  certificateFault,
  keyFault,
  withoutByteOrderMark,
  type PemFault,
} from '../certificates/crypto/pem.ts'
import { READ_HINTS, ReadError, readSmallFile } from '../os/read-file.ts'

export interface CheckedFiles {
  readonly issues: readonly ConfigIssue[]
  /** Contents by absolute path. */
  readonly upstreamCaPem: ReadonlyMap<string, string>
  /** The same of every `client_ca_file`. */
  readonly clientCaPem: ReadonlyMap<string, string>
}

type FileContext = Pick<RuleContext, 'resolvePath' | 'toAscii'>

/** Reads every file that a valid part of the configuration names. */
export async function checkFiles(file: Valid<ConfigFile>, context: FileContext): Promise<CheckedFiles> {
  const issues: ConfigIssue[] = []
  const upstreamCaPem = new Map<string, string>()
  const clientCaPem = new Map<string, string>()
  for (const listener of listenersOf(file)) {
    if (listener.value.tls?.mode === 'manual') issues.push(...(await checkManual(listener, context)))
  }
  for (const { value, at } of tlsOf(file)) {
    if (value.mode !== 'acme') continue
    const roots = await readText(value.acme_ca_file, [...at, 'acme_ca_file'], context, issues)
    if (roots !== undefined) issues.push(...pemIssues(certificateFault(roots.text), roots))
    const hmac = await readText(value.acme_eab_hmac_file, [...at, 'acme_eab_hmac_file'], context, issues)
    if (hmac !== undefined) issues.push(...hmacIssues(hmac))
  }
  for (const { value, at } of listenersOf(file)) {
    const roots = await readText(value.client_ca_file, [...at, 'client_ca_file'], context, issues)
    if (roots === undefined) continue
    issues.push(...pemIssues(certificateFault(roots.text), roots))
    clientCaPem.set(roots.path, roots.text)
  }
  for (const { value, at } of everySettingsOf(file)) {
    // Many sites may name the same file.
    if (
      value.upstream_ca_file !== undefined &&
      upstreamCaPem.has(context.resolvePath(value.upstream_ca_file))
    )
      continue
    const root = await readText(value.upstream_ca_file, [...at, 'upstream_ca_file'], context, issues)
    if (root === undefined) continue
    issues.push(...pemIssues(certificateFault(root.text), root))
    upstreamCaPem.set(root.path, root.text)
  }
  return { issues, upstreamCaPem, clientCaPem }
}

/** Checks each pair; if all of them are valid, checks that every site is covered. */
async function checkManual(
  listener: Located<Valid<ListenerFile>>,
  context: FileContext,
): Promise<ConfigIssue[]> {
  const issues: ConfigIssue[] = []
  const names = new Set<string>()
  const pairs = [...pairsOf(listener)]
  let isWhole = pairs.length > 0
  for (const { value, at } of pairs) {
    const certificate = await readText(value.cert_path, [...at, 'cert_path'], context, issues)
    const key = await readText(value.key_path, [...at, 'key_path'], context, issues)
    const found = pairNames(certificate, key, issues)
    if (found === undefined) isWhole = false
    else for (const name of found) names.add(name)
  }
  if (!isWhole) return issues
  for (const written of sitesOf(listener).flatMap(hostsOf)) {
    issues.push(
      ...uncoveredHost(written, names, context.toAscii, (host) => ({
        message: `no certificate of this listener contains "${host}", so clients could not connect to it`,
        hint: `the certificates contain ${[...names].join(', ') || 'no name at all'}; add a pair under certificates, or correct the host`,
      })),
    )
  }
  return issues
}

const WEAK_HINT = 'have it issued again for an ECDSA key (P-256), or an RSA key of 2048 bits or more'
const MISMATCH_HINT =
  'name the key that the certificate was requested with; in its file the certificate of the site is first'

/** The names of a certificate with a valid key; otherwise undefined, and adds issues. */
function pairNames(
  certificate: TextFile | undefined,
  key: TextFile | undefined,
  issues: ConfigIssue[],
): readonly string[] | undefined {
  const found = [
    ...(certificate === undefined ? [] : pemIssues(certificateFault(certificate.text), certificate)),
    ...(key === undefined ? [] : pemIssues(keyFault(key.text), key)),
  ]
  issues.push(...found)
  if (certificate === undefined || key === undefined || found.length > 0) return undefined
  const inspection = inspectPair(certificate.text, key.text)
  if (inspection.ok) {
    for (const { message, hint } of certificateDoubts(certificate.text, Date.now()))
      issues.push(configIssue('CERTIFICATE_DOUBTFUL', certificate.at, `${certificate.path} ${message}`, hint))
    return inspection.facts.names
  }
  const { reason, isTooWeak } = inspection
  issues.push(
    isTooWeak
      ? configIssue('CERTIFICATE_INVALID', certificate.at, `${certificate.path}: ${reason}`, WEAK_HINT)
      : configIssue('KEY_MISMATCH', key.at, `${key.path}: ${reason}`, MISMATCH_HINT),
  )
  return undefined
}

interface Pair {
  readonly cert_path?: string | undefined
  readonly key_path?: string | undefined
}

function* pairsOf({ value, at }: Located<Valid<ListenerFile>>): Generator<Located<Pair>> {
  const { tls } = value
  if (tls === undefined) return
  const { cert_path, key_path } = tls
  if (cert_path !== undefined || key_path !== undefined)
    yield { value: { cert_path, key_path }, at: [...at, 'tls'] }
  for (const [index, pair] of (tls.certificates ?? []).entries()) {
    yield { value: pair ?? {}, at: [...at, 'tls', 'certificates', index] }
  }
}

interface TextFile {
  readonly text: string
  readonly path: string
  readonly at: ConfigPath
}

/** Undefined if the key is not set, or if the file cannot be read, which adds an issue. */
async function readText(
  name: string | undefined,
  at: ConfigPath,
  { resolvePath }: FileContext,
  issues: ConfigIssue[],
): Promise<TextFile | undefined> {
  if (name === undefined) return undefined
  const path = resolvePath(name)
  try {
    return { text: withoutByteOrderMark((await readSmallFile(path)).toString('latin1')), path, at }
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    issues.push(configIssue('FILE_UNREADABLE', at, error.message, READ_HINTS[error.fault]))
    return undefined
  }
}

function pemIssues(fault: PemFault | undefined, { path, at }: TextFile): ConfigIssue[] {
  return fault === undefined ? [] : [configIssue(fault.code, at, `${path} ${fault.message}`, fault.hint)]
}

/** RFC 8555 7.3.4: the CA provides the key in base64url. */
function hmacIssues({ text, path, at }: TextFile): ConfigIssue[] {
  if (/^[\w+/-]+={0,2}$/u.test(text.trim())) return []
  const hint = 'write the HMAC key as the CA shows it (base64url), alone in the file'
  return [configIssue('KEY_INVALID', at, `${path} holds no base64url key`, hint)]
}
