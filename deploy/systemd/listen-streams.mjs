// listen-streams.mjs RELEASE CONFIG: prints a ListenStream line for each address and port of the configuration.
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const [release = '', config = ''] = process.argv.slice(2)
const load = (name) => import(pathToFileURL(join(resolve(release), 'dist/config', name)).href)
const { loadConfig } = await load('load.js')
const { processEnvironment } = await load('environment.js')
const environment = { ...processEnvironment(), homeDir: homedir() }
try {
  const loaded = await loadConfig(config, { allowWildcardBindFlag: true, environment })
  const lines = new Set()
  for (const { bindAddrs, httpsPort, httpPort } of loaded.config.listeners) {
    for (const address of bindAddrs) {
      const host = address.includes(':') ? `[${address}]` : address
      for (const port of [httpsPort, httpPort]) if (port > 0) lines.add(`ListenStream=${host}:${port}`)
    }
  }
  process.stdout.write([...lines, ''].join('\n'))
} catch {
  process.stderr.write(`${config} has errors: run reverse-proxy validate, then write-socket-unit again\n`)
  process.exitCode = 1
}
