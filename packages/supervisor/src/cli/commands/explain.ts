// `explain URL`: what happens to a request and why, by the running proxy or by a file, without sending it. The decisions are
// those of the worker's own code, which runs in this process on facts that the proxy or the file gives.
import { readFile } from 'node:fs/promises'
import { assertNever } from '@reverse-proxy/shared/assert-never'
import type { Config, Listener } from '@reverse-proxy/shared/config/config'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { EXIT_FAILURE, EXIT_OK } from '@reverse-proxy/shared/exit-codes'
import { isToken } from '@reverse-proxy/shared/http-token'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'
import { explain } from '@reverse-proxy/worker/explain/explain'
import type {
  ExplainedCertificate,
  ExplainedProxy,
  ExplainedRequest,
  Explanation,
  Field,
} from '@reverse-proxy/worker/explain/explanation'
import { namesOfLeaf } from '../../certificates/crypto/inspect.ts'
import { ConfigErrors } from '../../config/document/config-errors.ts'
import { processEnvironment } from '../../config/environment.ts'
import { findConfig } from '../../config/find.ts'
import { loadConfigOrProfile } from '../../config/local-profile.ts'
import { renderConfigIssues } from '../../config/report.ts'
import { toWorkerConfig } from '../../config/worker-config.ts'
import type { AdminReply } from '../../management/admin/protocol.ts'
import type { CommandArgs, RequestFlags } from '../usage/table.ts'
import { askRunning } from './ask.ts'
import { renderExplanation } from './render-explanation.ts'
import { renderFailure } from './terminal.ts'

/** RFC 5737: an address for documentation. */
const NOBODY = '192.0.2.1'

interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export async function explainRequest(
  [url = '']: readonly string[],
  { configFlag, allowWildcardBind, json, request: flags }: CommandArgs,
  stdout: Output = process.stdout,
  stderr: Output = process.stderr,
): Promise<number> {
  try {
    const request = toRequest(url, flags)
    const explanation =
      configFlag === undefined ? await byProxy(request) : await byFile(request, configFlag, allowWildcardBind)
    stdout.write(json ? `${JSON.stringify(explanation, undefined, 2)}\n` : renderExplanation(explanation))
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error
    if (json) stdout.write(`${JSON.stringify({ status: 'error', message: error.message })}\n`)
    else if (error instanceof ConfigErrors)
      stderr.write(renderConfigIssues(error.issues, { color: stderr.isTTY ?? false }))
    else stderr.write(renderFailure(error))
    return EXIT_FAILURE
  }
}

function toRequest(url: string, flags: RequestFlags | undefined): ExplainedRequest {
  const { method = 'GET', from = NOBODY, headers = [] } = flags ?? {}
  if (!isToken(method)) throw new ProxyError('CONFIG', `--method ${method} is not a method`, { hint: 'GET' })
  const address = parseIpAddress(from)
  if (address === undefined)
    throw new ProxyError('CONFIG', `--from ${from} is not an IP address`, {
      hint: 'write it without port and brackets: 203.0.113.5, 2001:db8::1',
    })
  return { url, method, from: address.text, headers: headers.map(toField) }
}

function toField(text: string): Field {
  const colon = text.indexOf(':')
  const name = text.slice(0, Math.max(0, colon))
  if (!isToken(name))
    throw new ProxyError('CONFIG', `--header "${text}" is not a header field`, {
      hint: "write --header 'Accept-Language: en'",
    })
  return [name, text.slice(colon + 1).trim()]
}

async function byProxy(request: ExplainedRequest): Promise<Explanation> {
  const { config } = checked(await askRunning('config', [], undefined))
  const { certificates } = checked(await askRunning('certs', [], undefined))
  const proxy = {
    config,
    certificates: certificates.map(({ listener, names, serial, state, not_after: notAfter }) => ({
      listener,
      // Names without a certificate are no names of it.
      names: state === 'pending' ? [] : names,
      description: `serial ${serial}, ${state} until ${notAfter}, for ${names.join(' ')}`,
    })),
  }
  // First without bans, to find out which client a trusted proxy names.
  const { client } = explain(request, { ...proxy, isBanned: () => false })
  const { total } = checked(await askRunning('bans', [client], undefined))
  return explain(request, { ...proxy, isBanned: (ip) => total > 0 && ip === client })
}

function checked<Reply extends AdminReply<'config' | 'certs' | 'bans'>>(
  reply: Reply,
): Exclude<Reply, { readonly status: 'error' }> {
  if (reply.status === 'error') throw new ProxyError('ADMIN', reply.message)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the other member of the union
  return reply as Exclude<Reply, { readonly status: 'error' }>
}

async function byFile(
  request: ExplainedRequest,
  flag: string,
  allowWildcardBind: boolean,
): Promise<Explanation> {
  const path = await findConfig({ flag, env: process.env, cwd: process.cwd() })
  const environment = processEnvironment()
  const { config } = await loadConfigOrProfile(path, {
    allowWildcardBindFlag: allowWildcardBind,
    environment,
  })
  const proxy: ExplainedProxy = {
    config: toWorkerConfig(config),
    certificates: await certificatesOf(config),
    isBanned: undefined,
  }
  return explain(request, proxy)
}

/** The certificates that a proxy with this file would have. */
async function certificatesOf({ listeners }: Config): Promise<readonly ExplainedCertificate[]> {
  return (await Promise.all(listeners.map(certificatesOfListener))).flat()
}

async function certificatesOfListener({
  id,
  tls,
  sites,
}: Listener): Promise<readonly ExplainedCertificate[]> {
  switch (tls.mode) {
    case 'acme':
      return [{ listener: id, names: tls.domains, description: `from the CA, for ${tls.domains.join(' ')}` }]
    case 'internal': {
      const names = sites.flatMap(({ hosts }) => hosts)
      return [{ listener: id, names, description: `from the internal CA, for ${names.join(' ')}` }]
    }
    case 'manual':
      return await Promise.all(
        tls.pairs.map(async ({ certPath }) => {
          const names = namesIn(certPath, await readFile(certPath))
          return { listener: id, names, description: `${certPath}, for ${names.join(' ')}` }
        }),
      )
    case 'off':
      return []
    default:
      return assertNever(tls)
  }
}

/** @throws ProxyError CERTIFICATE */
function namesIn(path: string, pem: Buffer): readonly string[] {
  try {
    return namesOfLeaf(pem.toString())
  } catch (cause) {
    throw new ProxyError('CERTIFICATE', `${path}: ${messageOf(cause)}`, { cause, hint: 'validate says more' })
  }
}
