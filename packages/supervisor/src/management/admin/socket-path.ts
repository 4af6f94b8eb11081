// Finds the admin socket of the proxy that runs with a configuration file. Reads only two keys, so that commands still
// work when the file has become invalid. If the file is not even TOML, it looks for the lines of these two keys.
import { dirname, resolve } from 'node:path'
import { messageOf } from '@reverse-proxy/shared/error-text'
import { ProxyError } from '@reverse-proxy/shared/errors'
import { ConfigErrors } from '../../config/document/config-errors.ts'
import { defaultAdminSocketPath, defaultStateDir, type Environment } from '../../config/environment.ts'
import { decodeText, parseToml } from '../../config/document/parse.ts'
import { readConfigFile } from '../../os/read-file.ts'

export interface AdminSocketPlace {
  readonly path: string
  /** The error of the file, if it has one; `path` is a guess then. */
  readonly fault: string | undefined
}

type Document = Readonly<Record<string, unknown>>

/** @throws ProxyError ADMIN when the socket is disabled there */
export async function findAdminSocketPath(
  file: string | undefined,
  environment: Environment,
): Promise<AdminSocketPlace> {
  const { document, fault } =
    file === undefined ? { document: {}, fault: undefined } : await readDocument(file)
  const resolvePath = (name: string): string => resolve(file === undefined ? '/' : dirname(file), name)
  const given = document['admin_socket_path']
  if (given === '') {
    throw new ProxyError('ADMIN', 'the admin socket is disabled in this configuration', {
      hint: 'remove admin_socket_path = "" and restart the proxy',
    })
  }
  if (typeof given === 'string') return { path: resolvePath(given), fault }
  const stateDir = document['state_dir']
  const path = defaultAdminSocketPath(
    environment,
    typeof stateDir === 'string' ? resolvePath(stateDir) : defaultStateDir(environment),
  )
  return { path, fault }
}

async function readDocument(file: string): Promise<{ document: Document; fault: string | undefined }> {
  let text = ''
  try {
    text = decodeText(file, await readConfigFile(file))
    return { document: { ...asObject(parseToml(file, text)) }, fault: undefined }
  } catch (error) {
    return { document: readTopLines(file, text), fault: describeFault(error) }
  }
}

/** The two keys, from the lines before the first table that are valid TOML by themselves. */
function readTopLines(file: string, text: string): Document {
  const document: Record<string, unknown> = {}
  for (const line of text.split('\n')) {
    if (/^\s*\[/u.test(line)) break
    if (!/^\s*(?:admin_socket_path|state_dir)\s*=/u.test(line)) continue
    try {
      Object.assign(document, asObject(parseToml(file, line)))
    } catch {
      // Skip the broken line.
    }
  }
  return document
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}

/** `/etc/reverse-proxy/config.toml:3:1: ...` */
function describeFault(error: unknown): string {
  const [issue] = error instanceof ConfigErrors ? error.issues : []
  if (issue === undefined) return messageOf(error)
  const place = [issue.file, issue.line, issue.column].filter((part) => part !== undefined).join(':')
  return `${place}: ${issue.message}`
}
