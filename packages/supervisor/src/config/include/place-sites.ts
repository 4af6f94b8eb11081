// Puts the sites of an included file into the listeners that they name. Works on documents as they are written, before
// the schema is checked; what it does not understand there, the schema reports. Pure, but for the documents.
import { configIssue, type ConfigIssue, type ConfigPath } from '@reverse-proxy/shared/config/issues'
import { parseUpstream } from '@reverse-proxy/shared/config/upstream'
import { parseIpAddress } from '@reverse-proxy/shared/ip-address'

export type Table = Record<string, unknown>

export interface PlacedSites {
  /** With paths of the included file. */
  readonly issues: readonly ConfigIssue[]
  /** The path in `main` of each site that was put there, by its index in the included file. */
  readonly paths: ReadonlyMap<number, ConfigPath>
}

/** Adds the sites of `included` to the listeners of `main`. */
export function placeSites(main: Table, included: Table): PlacedSites {
  const issues = [...unknownKeys(included)]
  const paths = new Map<number, ConfigPath>()
  const { sites = [] } = included
  const listeners = [...listenersOf(main)]
  if (!Array.isArray(sites)) issues.push(notTables(['sites'], 'an array of tables'))
  else {
    for (const [index, value] of sites.entries()) {
      const at = ['sites', index]
      if (!isTable(value)) {
        issues.push(notTables(at, 'a table'))
        continue
      }
      const { listener: written, ...site } = value
      const listener = findListener(listeners, written, Object.hasOwn(value, 'listener'), at)
      if (listener === undefined) continue
      if ('code' in listener) {
        issues.push(listener)
        continue
      }
      const own = (listener.table['sites'] ??= [])
      if (!Array.isArray(own)) continue
      paths.set(index, ['listeners', listener.index, 'sites', own.length])
      own.push(site)
    }
  }
  return { issues, paths }
}

const WRITE_SITES = 'write [[sites]]; everything else belongs in the main file'

function* unknownKeys(included: Table): Generator<ConfigIssue> {
  for (const key of Object.keys(included)) {
    if (key === 'sites') continue
    const hint =
      key === 'listeners' ? 'write [[sites]] with listener = "address:port" for each site' : WRITE_SITES
    yield configIssue('KEY_UNKNOWN', [key], `an included file has sites only, not "${key}"`, hint)
  }
}

function notTables(at: ConfigPath, wanted: string): ConfigIssue {
  return configIssue('VALUE_INVALID', at, `must be ${wanted}`, WRITE_SITES)
}

interface ListenerPlace {
  readonly index: number
  readonly table: Table
  /** `address:port` of each of its addresses. */
  readonly names: readonly string[]
}

function* listenersOf({ listeners }: Table): Generator<ListenerPlace> {
  if (!Array.isArray(listeners)) return
  for (const [index, table] of listeners.entries()) {
    if (!isTable(table)) continue
    const { bind_addr: addresses, http_port: httpPort = 80, https_port: httpsPort = 443, tls } = table
    const port = isTable(tls) && tls['mode'] === 'off' ? httpPort : httpsPort
    const written: unknown[] = Array.isArray(addresses) ? addresses : [addresses]
    const parsed = written.map((address) =>
      typeof address === 'string' ? parseIpAddress(address) : undefined,
    )
    yield { index, table, names: parsed.flatMap((address) => (address ? [nameOf(address, port)] : [])) }
  }
}

function nameOf({ family, text }: { family: 4 | 6; text: string }, port: unknown): string {
  return `${family === 6 ? `[${text}]` : text}:${String(port)}`
}

/** Undefined if another check reports why there is none. */
function findListener(
  listeners: readonly ListenerPlace[],
  written: unknown,
  isWritten: boolean,
  siteAt: ConfigPath,
): ListenerPlace | ConfigIssue | undefined {
  const at = [...siteAt, 'listener']
  if (listeners.length === 0) return undefined
  const names = listeners.flatMap((listener) => listener.names)
  const hint = `write one of ${names.map((name) => JSON.stringify(name)).join(', ')}`
  if (!isWritten) {
    if (listeners.length === 1) return listeners[0]
    return configIssue('KEY_MISSING', at, 'listener is required: there are several listeners', hint)
  }
  // A variable in it is at fault.
  if (written === undefined) return undefined
  if (typeof written !== 'string') return configIssue('VALUE_INVALID', at, 'must be a string', hint)
  const address = parseUpstream(written)
  const ip = 'host' in address ? parseIpAddress(address.host) : undefined
  const name = ip !== undefined && 'port' in address ? nameOf(ip, address.port) : undefined
  return (
    listeners.find((listener) => name !== undefined && listener.names.includes(name)) ??
    configIssue('LISTENER_UNKNOWN', at, `no listener is at "${written}"`, hint)
  )
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
