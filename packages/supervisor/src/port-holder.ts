// Who holds a TCP port, as far as /proc lets us see: for the error that a taken port gives.
import { readFile, readdir, readlink } from 'node:fs/promises'

/** TCP_LISTEN in /proc/net/tcp. */
const LISTEN = '0A'

/** `nginx (pid 1234)`, or undefined where it cannot be known (another user's process, not Linux). */
export async function findPortHolder(port: number): Promise<string | undefined> {
  for await (const { pid, name } of portHolders(port)) return `${name} (pid ${pid})`
  return undefined
}

/** Every process that has a socket listening on the port, as far as it can be known. */
export async function* portHolders(
  port: number,
): AsyncGenerator<{ readonly pid: number; readonly name: string }> {
  const inodes = new Set<string>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '')
    for (const line of text.split('\n').slice(1)) {
      // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/u)
      if (state === LISTEN && inode !== undefined && portOf(local) === port) inodes.add(`socket:[${inode}]`)
    }
  }
  if (inodes.size === 0) return

  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/u.test(name))
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const descriptor of descriptors) {
      const link = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
      if (!inodes.has(link)) continue
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '?')
      yield { pid: Number(pid), name: name.trim() }
      break
    }
  }
}

function portOf(local: string | undefined): number {
  return Number.parseInt(local?.split(':')[1] ?? '', 16)
}
