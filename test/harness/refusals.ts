// Starts the built program once for each configuration file that it is given, all in this one process, where each of
// them must be refused. Sends one `Refusal` to the parent for each.
import { main } from '../../packages/supervisor/dist/cli/main.js'

export interface Refusal {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

let written = { stdout: '', stderr: '' }
for (const name of ['stdout', 'stderr'] as const) {
  process[name].write = (chunk: string | Uint8Array): boolean => {
    written[name] += String(chunk)
    return true
  }
}

for (const configPath of process.argv.slice(2)) {
  written = { stdout: '', stderr: '' }
  const code = await main(['--config', configPath])
  const refusal: Refusal = { code, ...written }
  process.send?.(refusal)
}
process.disconnect?.()
