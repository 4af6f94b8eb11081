// Ctrl-C, or closing the terminal, drains and leaves nothing behind; typed by hand as through
// the package manager, whose own processes sit between the terminal and the program.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { HttpOrigin } from '../../harness/http-origin.ts'
import { freePort } from '../../harness/ports.ts'
import { PROGRAM, writeConfig } from '../../harness/proxy.ts'
import { Terminal } from '../../harness/system/pty.ts'
import { handshake } from '../../harness/clients/handshake.ts'
import { request } from '../../harness/clients/request.ts'
import { pnpmLauncher, shellEnvironment } from '../../harness/system/shell.ts'
import { HOST } from '../../harness/site.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const ROOT = join(import.meta.dirname, '../../..')

/** How the program is typed; each followed by its options. */
const COMMANDS = {
  'the program': () => [process.execPath, PROGRAM],
  'pnpm start': () => [pnpmLauncher().file, ...pnpmLauncher().args, '-F', 'supervisor', 'start'],
}

const ENDINGS = {
  'Ctrl-C': (terminal: Terminal) => terminal.pressCtrlC(),
  'closing the terminal': (terminal: Terminal) => terminal.close(),
}

for (const [typed, command] of Object.entries(COMMANDS)) {
  for (const [ending, end] of Object.entries(ENDINGS)) {
    test(`terminal: ${ending} under ${typed} finishes what is in flight and leaves nothing`, async (t) => {
      const held: ServerResponse[] = []
      const origin = await HttpOrigin.start(t, (_incoming, response) => held.push(response))
      const ca = await TestCa.create(t)
      const leaf = await ca.issue([HOST])
      const directory = temporaryDirectory(t)
      const port = await freePort()
      const configPath = writeConfig(directory, {
        listeners: [
          {
            bind_addr: '127.0.0.1',
            https_port: port,
            http_port: 0,
            tls: { mode: 'manual', cert_path: leaf.certPath, key_path: leaf.keyPath },
            sites: [{ host: HOST, upstream: origin.upstream }],
          },
        ],
      })
      const line = [...command(), '--config', configPath].join(' ')
      const terminal = await Terminal.open(t, line, { cwd: ROOT, env: shellEnvironment() })
      await terminal.output.waitForLine(/ INFO READY /)
      const answer = request({ host: HOST, port, ca: ca.certPem })
      await waitFor('the request to be with the upstream', () => held.length === 1)

      end(terminal)
      await waitFor('new connections to be refused', async () => {
        const seen = await handshake({ port, serverName: HOST })
        return seen.result === 'failed' && seen.code === 'ECONNREFUSED'
      })
      held[0]?.end('finished')
      assert.equal((await answer).body, 'finished')

      await terminal.waitUntilEmpty()
      const left = readdirSync(directory, { recursive: true, encoding: 'utf8' })
      assert.deepEqual(
        left.filter((name) => /\.(sock|lock)$/.test(name)),
        [],
      )
    })
  }
}
