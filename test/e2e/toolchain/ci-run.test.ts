// The first step of .ci/run, on a start command that goes wrong: it is named, and what was started never stays.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { temporaryDirectory } from '../../harness/directory.ts'
import { freePort, portOf } from '../../harness/ports.ts'
import { isAlive } from '../../harness/processes.ts'
import { Program } from '../../harness/program.ts'
import { shellEnvironment } from '../../harness/system/shell.ts'
import { TestCa } from '../../harness/tls-material.ts'
import { waitFor } from '../../harness/wait.ts'

const RUN = join(import.meta.dirname, '../../../.ci/run')
const READY = `
  echo "T INFO STARTING pid=$$ workers=1 listeners=1"
  echo "  curl --cacert $CA https://localhost:$PORT/"
  echo "T INFO READY workers=1 sites=1"`
const FOR_EVER = 'while :; do /bin/sleep 0.2; done'

test('.ci/run: a start that goes wrong fails its step, and no process of it is left', async (t) => {
  const ca = await TestCa.create(t)
  const leaf = await ca.issue(['localhost'])
  const server = https.createServer({ cert: leaf.certPem, key: leaf.keyPem }, (_request, response) => {
    response.end('served')
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const served = { CA: ca.certPath, PORT: String(portOf(server)) }
  const silent = { ...served, PORT: String(await freePort()) }
  await Promise.all([
    fails(t, /taken by nginx\n.* ended before/, { start: 'echo "8443 is taken by nginx"; exit 1' }),
    fails(t, /not ready within/, { start: FOR_EVER, timeFlies: true }),
    fails(t, /no response from https:/, { start: `${READY}; ${FOR_EVER}`, env: silent }),
    fails(t, /did not end with 0/, { start: `trap 'exit 7' TERM; ${READY}; ${FOR_EVER}`, env: served }),
    fails(t, /did not end within/, {
      start: `trap '' TERM; ${READY}; ${FOR_EVER}`,
      env: served,
      timeFlies: true,
    }),
  ])

  const { run, startedPid } = begin(t, { start: `${READY.replace('READY', 'WAITING')}; ${FOR_EVER}` })
  const pid = await waitFor('the start command', startedPid, 20_000)
  assert.equal((await run.stop()).code, 143)
  assert.equal(isAlive(pid), false)
})

interface Stubs {
  /** Does what `npx` does. */
  readonly start: string
  /** Sleeping takes no time once `npx` runs. */
  readonly timeFlies?: boolean
  readonly env?: NodeJS.ProcessEnv
}

async function fails(t: TestContext, message: RegExp, stubs: Stubs): Promise<void> {
  const { run, startedPid } = begin(t, stubs)
  assert.equal((await run.exited).code, 1, run.stderr.text)
  assert.match(run.stderr.text, message)
  assert.match(run.stderr.text, /\n== failed: start, and a request to it\n$/)
  assert.equal(isAlive(startedPid() ?? assert.fail('npx was not run')), false)
}

function begin(t: TestContext, stubs: Stubs): { run: Program; startedPid: () => number | undefined } {
  const directory = temporaryDirectory(t)
  const pidFile = join(directory, 'pid')
  const stub = (name: string, text: string): void =>
    writeFileSync(join(directory, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  stub('npx', `echo $$ >"${pidFile}.new"; mv "${pidFile}.new" "${pidFile}"; ${stubs.start}`)
  if (stubs.timeFlies === true) stub('sleep', `until [ -e "${pidFile}" ]; do /bin/sleep 0.05; done`)
  const env = shellEnvironment()
  const run = new Program(t, RUN, [], {
    env: { ...env, ...stubs.env, PATH: `${directory}:${env['PATH']}` },
  })
  const startedPid = (): number | undefined =>
    existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : undefined
  return { run, startedPid }
}
