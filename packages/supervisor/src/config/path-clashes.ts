// Compares the paths of a configuration with each other: a path that the proxy writes must have no other use. Follows
// symbolic and hard links. Changes nothing.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { configIssue, formatPath, type ConfigIssue } from '@reverse-proxy/shared/config/issues'
import type { RuleContext } from '@reverse-proxy/shared/config/rules/rule'
import { writtenPathsOf, type WrittenPath } from '@reverse-proxy/shared/config/rules/paths'
import type { ConfigFile, Valid } from '@reverse-proxy/shared/config/schema'
import { internalCaDirectory } from '../certificates/internal/ca.ts'
import { isSocketPathTooLong, LONGEST_PATH_BYTES } from '../os/socket-file.ts'
import { realPathOf } from './cache-directories.ts'
import { defaultAdminSocketPath, defaultStateDir, type Environment } from './environment.ts'

interface Place extends Omit<WrittenPath, 'text'> {
  /** All links resolved, as far as the path exists. */
  readonly real: string
  /** Device and inode; undefined if the path does not exist. */
  readonly inode: string | undefined
  /** Its name in messages. */
  readonly name: string
}

export interface ClashContext extends Pick<RuleContext, 'resolvePath'> {
  readonly environment: Environment
  /** Undefined: standard input. */
  readonly configPath: string | undefined
  readonly includedPaths: readonly string[]
}

export async function checkPaths(file: Valid<ConfigFile>, context: ClashContext): Promise<ConfigIssue[]> {
  const { environment, configPath, includedPaths, resolvePath } = context
  const written = [...writtenPathsOf(file)]
  const places = await Promise.all([
    ...(configPath === undefined ? [] : [readPlace(configPath, 'the configuration file')]),
    ...includedPaths.map(async (path) => readPlace(path, `the included file ${path}`)),
    ...written.map(async (path) => placeOf({ ...path, text: resolvePath(path.text) }, formatPath(path.at))),
  ])
  const issues = written.filter(({ use }) => use === 'socket').flatMap((path) => tooLong(path, resolvePath))
  const stateDir = file.state_dir === undefined ? defaultStateDir(environment) : resolvePath(file.state_dir)
  if (file.admin_socket_path === undefined) {
    const path = defaultAdminSocketPath(environment, stateDir)
    places.push(await placeOf({ at: ['admin_socket_path'], text: path, use: 'socket' }, 'the admin socket'))
  }
  const secrets = await placeOf(
    { at: [], text: internalCaDirectory(stateDir), use: 'cache' },
    'the directory of the internal CA',
  )
  return [...issues, ...clashes([...places, secrets])]
}

async function readPlace(text: string, name: string): Promise<Place> {
  return await placeOf({ at: [], text, use: 'read' }, name)
}

async function placeOf({ at, text, use }: WrittenPath, name: string): Promise<Place> {
  const stats = await stat(text).catch(() => undefined)
  const inode = stats === undefined ? undefined : `${stats.dev}:${stats.ino}`
  return { at, use, name, real: await realPathOf(text), inode }
}

function tooLong({ at, text }: WrittenPath, resolvePath: (path: string) => string): ConfigIssue[] {
  const path = resolvePath(text)
  if (!isSocketPathTooLong(path)) return []
  const message = `${path} is too long for a socket: the system takes ${LONGEST_PATH_BYTES} bytes at most`
  const hint = 'choose a shorter path, such as "/run/reverse-proxy/admin.sock"'
  return [configIssue('ADMIN_SOCKET_PATH_TOO_LONG', at, message, hint)]
}

/** One issue for each written path, about the first path that it collides with. */
function* clashes(places: readonly Place[]): Generator<ConfigIssue> {
  for (const [index, place] of places.entries()) {
    if (place.at.length === 0 || place.use === 'read' || place.use === 'state') continue
    // When two written paths collide, report the later one.
    const others = places.filter((other, at) => at < index || other.use === 'read' || other.use === 'state')
    const other = others.find((one) => one !== place && collides(place, one))
    if (other !== undefined) yield clashIssue(place, other)
    const outer = places.find((one) => one !== place && one.use === 'cache' && contains(one.real, place.real))
    if (other === undefined && outer !== undefined) yield insideIssue(place, outer)
  }
}

function collides(place: Place, other: Place): boolean {
  // Another rule covers two caches in one directory.
  if (place.use === 'cache' && (other.use === 'cache' || other.use === 'state')) return false
  return place.real === other.real || (place.inode !== undefined && place.inode === other.inode)
}

function contains(directory: string, path: string): boolean {
  return path.startsWith(join(directory, '/'))
}

function clashIssue({ at, real }: Place, other: Place): ConfigIssue {
  const hint = 'give each its own path: the proxy would overwrite one with the other'
  return configIssue('PATH_CLASH', at, `${real} is also ${other.name}`, hint)
}

function insideIssue({ at, real }: Place, outer: Place): ConfigIssue {
  const message = `${real} is inside ${outer.real}, which is ${outer.name}`
  return configIssue('PATH_CLASH', at, message, 'choose a path outside: that directory is for keys alone')
}
