// Asking a running proxy over its admin socket, as programs do; and by the command line, as people do.
import { execFile } from 'node:child_process'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import type { Proxy } from './proxy.ts'
import { PROGRAM } from './proxy.ts'

/** One command, and the one JSON object that comes back. */
// oxlint-disable-next-line typescript/no-explicit-any -- each test knows what it asked for
export async function askAdmin(socketPath: string, command: string): Promise<any> {
  const socket = net.connect({ path: socketPath })
  socket.write(`${command}\n`)
  return JSON.parse(await text(socket))
}

export interface CommandOutcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** `reverse-proxy ARGS`, with the configuration that `proxy` runs with. */
export async function runCommand(
  proxy: Pick<Proxy, 'configPath'>,
  ...args: readonly string[]
): Promise<CommandOutcome> {
  const { promise, resolve } = Promise.withResolvers<CommandOutcome>()
  const all = [PROGRAM, ...args, '--config', proxy.configPath]
  execFile(process.execPath, all, (error, stdout, stderr) => {
    resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr })
  })
  return await promise
}
